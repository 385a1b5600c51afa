"""What is left of a text, and of an answer, that repeats a secret."""

import json
import time

import pytest

from exporter.providers.redaction import Redactor

SECRET = 'p"a\\ss/wörd+\n'


def redactor_of(*secrets: str) -> Redactor:
    redactor = Redactor()
    redactor.account().replace("token", secrets)
    return redactor


@pytest.mark.parametrize(
    "shown",
    [
        SECRET,
        "http://user:p%22a%5Css%2Fw%C3%B6rd%2B%0A@proxy",
        repr(SECRET),
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
    ],
)
def test_a_secret_is_found_in_the_forms_that_it_takes(shown: str) -> None:
    shown = redactor_of(SECRET)(shown)

    assert "rd" not in shown
    assert "<redacted>" in shown


def test_of_two_secrets_the_longer_one_goes_as_a_whole() -> None:
    assert redactor_of("token", "token-2")("a token-2 b token c") == "a <redacted> b <redacted> c"


def test_a_secret_that_is_too_short_is_not_looked_for() -> None:
    assert redactor_of("", "a")("a campaign") == "a campaign"


def test_a_replaced_secret_stays_hidden_until_the_next_replacement() -> None:
    redactor = Redactor()
    account = redactor.account()

    for token in ("first-token", "second-token", "second-token"):
        account.replace("token", [token])
    assert redactor("first-token second-token") == "<redacted> <redacted>"
    account.replace("token", ["third-token"])
    assert redactor("first-token second-token third-token") == "first-token <redacted> <redacted>"


def test_secrets_belong_to_their_account_and_kind() -> None:
    redactor = Redactor()
    one, other = redactor.account(), redactor.account()
    one.replace("token", ["shared-token", "its-own-token"])
    one.replace("proxy", ["proxy-password"])
    other.replace("token", ["shared-token"])

    one.replace("token", [])
    one.replace("token", [])
    assert redactor("proxy-password its-own-token") == "<redacted> <redacted>"
    one.forget()
    assert redactor("proxy-password its-own-token shared-token") == "proxy-password its-own-token <redacted>"


def test_a_thousand_accounts_replace_their_tokens_in_a_moment() -> None:
    redactor = Redactor()
    accounts = [redactor.account() for _ in range(1000)]
    begin = time.process_time()

    for round_ in range(3):
        for number, account in enumerate(accounts):
            account.replace("token", [f"tok/{round_}/{number:04}+secret="])
    redactor("a line of the log")

    assert time.process_time() - begin < 1
    assert redactor("tok/2/0999+secret=") == "<redacted>"


@pytest.mark.parametrize(
    "escaped",
    [
        json.dumps("tok/en+ö=16"),
        json.dumps("tok/en+ö=16", ensure_ascii=False),
        r'"tok\/en\u002b\u00F6\u003d16"',
    ],
)
def test_an_answer_is_rid_of_a_secret_however_it_is_escaped(escaped: str) -> None:
    account = Redactor().account()
    account.replace("token", ["tok/en+ö=16"])
    body = f'{{"status": {escaped}, "{json.loads(escaped)} x": [1.50, "caf\\u00e9", "a\\"b"]}}'.encode()

    redacted = account.in_answer(body)

    assert json.loads(redacted) == {"status": "<redacted>", "<redacted> x": [1.5, "café", 'a"b']}
    assert b"1.50" in redacted


def test_an_answer_without_a_secret_stays_as_it_is() -> None:
    account = Redactor().account()
    account.replace("token", ["tok-en", "!!!!"])

    for body in (b'{"status": "active"}', b"", b'"tok-en is unfinished', b'["tok-e", "\\ud800", "\xff"]'):
        assert account.in_answer(body) == body
