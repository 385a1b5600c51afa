"""Tokens that come from a value, a file or a variable, and change while the exporter runs."""

import traceback
from pathlib import Path
from typing import Any

import pytest

from exporter.config.model import AccountSettings
from exporter.providers.credentials import token_of
from exporter.providers.errors import CredentialsError


def account(provider: str = "osvi", **keys: Any) -> AccountSettings:
    return AccountSettings.model_validate({"name": "acme", "provider": provider, **keys})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("first\n", encoding="utf-8")
    return path


def test_a_token_is_taken_from_its_value() -> None:
    assert token_of(account(token="t0psecret")) == "t0psecret"


def test_a_token_is_taken_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSVI_TOKEN", "t0psecret")

    assert token_of(account(token_env="OSVI_TOKEN")) == "t0psecret"


@pytest.mark.parametrize("content", ["first", "first\n", " first \n\n"])
def test_a_token_is_taken_from_its_file_without_the_space_around_it(file: Path, content: str) -> None:
    file.write_text(content, encoding="utf-8")

    assert token_of(account(token_file=str(file))) == "first"


def test_a_swapped_link_is_followed(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "token").write_text(name, encoding="utf-8")
    link = tmp_path / "data"
    link.symlink_to(tmp_path / "first")
    settings = account(token_file=str(link / "token"))
    assert token_of(settings) == "first"
    other = tmp_path / "other"
    other.symlink_to(tmp_path / "second")

    other.replace(link)

    assert token_of(settings) == "second"


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
def test_a_token_file_that_turns_bad_is_an_error_that_does_not_show_it(
    file: Path, content: bytes | None, problem: str
) -> None:
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)

    token = token_of(account(token_file=str(file)))

    assert isinstance(token, CredentialsError)
    assert problem in str(token)
    assert "psecret" not in "".join(traceback.format_exception(token))


def test_a_variable_that_is_not_set_is_a_failure_of_the_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OSVI_TOKEN", raising=False)
    token = token_of(account(token_env="OSVI_TOKEN"))

    assert isinstance(token, CredentialsError)
    assert "expected the name of a variable that is set" in str(token)


def test_the_organization_is_held_against_each_new_token(file: Path) -> None:
    settings = account("anyreach", token_file=str(file))
    file.write_text("ak_t0psecret", encoding="utf-8")
    assert token_of(settings) == "ak_t0psecret"

    file.write_text("pat_t0psecret", encoding="utf-8")

    assert "a personal access token (pat_) needs `organization`" in str(token_of(settings))


def test_an_osvi_token_may_look_like_anyreachs() -> None:
    assert token_of(account(token="pat_0123456789ab")) == "pat_0123456789ab"
