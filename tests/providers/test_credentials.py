"""Tokens that come from a value, a file or a variable, and change while the exporter runs."""

import traceback
from pathlib import Path
from typing import Any

import pytest

from exporter.config.model import AccountSettings
from exporter.providers.credentials import AuthorizedHeaders, Credentials
from exporter.providers.errors import CredentialsError

PLANTED = "ak_planted.secret"


def account(provider: str = "osvi", **keys: Any) -> AccountSettings:
    return AccountSettings.model_validate({"name": "acme", "provider": provider, **keys})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("first\n", encoding="utf-8")
    return path


def test_a_token_is_taken_from_its_value() -> None:
    credentials = Credentials(account(token="t0psecret"))

    assert credentials.token() == "t0psecret"
    assert not credentials.refresh()


def test_a_token_is_taken_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSVI_TOKEN", "t0psecret")
    credentials = Credentials(account(token_env="OSVI_TOKEN"))

    assert credentials.token() == "t0psecret"


def test_a_token_is_taken_from_its_file_without_the_line_break(file: Path) -> None:
    assert Credentials(account(token_file=str(file))).token() == "first"


def test_a_changed_file_is_picked_up_by_its_content(file: Path) -> None:
    credentials = Credentials(account(token_file=str(file)))

    unchanged = credentials.refresh()
    file.write_text(" first \n\n", encoding="utf-8")
    only_spaces = credentials.refresh()
    file.write_text("second", encoding="utf-8")
    before = credentials.token()
    changed = credentials.refresh()

    assert (unchanged, only_spaces, changed) == (False, False, True)
    assert (before, credentials.token()) == ("first", "second")


def test_a_swapped_link_is_picked_up(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "token").write_text(name, encoding="utf-8")
    link = tmp_path / "data"
    link.symlink_to(tmp_path / "first")
    credentials = Credentials(account(token_file=str(link / "token")))
    other = tmp_path / "other"
    other.symlink_to(tmp_path / "second")

    other.replace(link)

    assert credentials.refresh()
    assert credentials.token() == "second"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "expected a file that can be read: No such file or directory"),
        (b"", "expected a token: there is nothing"),
        (b" \n", "expected a token: there is nothing"),
        (b"t0psecret\nX-Evil: 1", "expected a token of visible ASCII characters"),
        ("tøpsecret".encode(), "expected a token of visible ASCII characters"),
        (b"\xff\xfe", "expected a file that holds a token and nothing else"),
    ],
)
def test_a_token_file_that_turns_bad_is_an_error_until_it_is_repaired(
    file: Path, content: bytes | None, problem: str
) -> None:
    credentials = Credentials(account(token_file=str(file)))
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)

    gone = credentials.refresh()
    with pytest.raises(CredentialsError, match=problem) as caught:
        credentials.token()
    still_gone = credentials.refresh()
    file.write_text("first", encoding="utf-8")
    back = credentials.refresh()

    assert (gone, still_gone, back) == (True, False, True)
    assert credentials.token() == "first"
    assert "psecret" not in "".join(traceback.format_exception(caught.value))


def test_a_variable_that_is_not_set_is_a_failure_of_the_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OSVI_TOKEN", raising=False)
    with pytest.raises(CredentialsError, match="expected the name of a variable that is set"):
        Credentials(account(token_env="OSVI_TOKEN")).token()


def test_the_organization_is_held_against_each_new_token(file: Path) -> None:
    file.write_text("ak_t0psecret", encoding="utf-8")
    credentials = Credentials(account("anyreach", token_file=str(file)))
    assert credentials.token() == "ak_t0psecret"

    file.write_text("pat_t0psecret", encoding="utf-8")
    credentials.refresh()

    with pytest.raises(CredentialsError, match=r"a personal access token \(pat_\) needs `organization`"):
        credentials.token()


def test_an_osvi_token_may_look_like_anyreachs() -> None:
    assert Credentials(account(token="pat_0123456789ab")).token() == "pat_0123456789ab"


def test_credentials_do_not_show_their_token(file: Path) -> None:
    credentials = Credentials(account(token="t0psecret"))

    assert "t0psecret" not in repr(credentials) + str(credentials)


class TestAuthorizedHeaders:
    def test_a_new_token_is_in_the_next_headers(self) -> None:
        tokens = iter(["one", "one", "two"])
        headers = AuthorizedHeaders(lambda: next(tokens), lambda token: {"API-Token": token})

        first, second, third = headers.current(), headers.current(), headers.current()

        assert first is second
        assert (first["API-Token"], third["API-Token"]) == ("one", "two")

    def test_its_repr_shows_no_token(self) -> None:
        headers = AuthorizedHeaders(lambda: PLANTED, lambda token: {"API-Token": token})
        headers.current()

        assert PLANTED not in repr(headers)
