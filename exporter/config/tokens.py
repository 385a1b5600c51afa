"""Reading a token from where it is kept, and checking that it can be sent."""

import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from exporter.config.fields import VISIBLE_ASCII
from exporter.config.files import read_regular, unreadable
from exporter.config.section import is_name

_LONGEST = 65_536
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_MARGIN = re.compile(r"\A[\s\ufeff]+|[\s\ufeff]+\Z")


def read_token(
    *, token: SecretStr | str | None, token_file: Path | str | None, token_env: str | None, environ: Mapping[str, str]
) -> str:
    """
    Read a token from one of the first three arguments; white space and a byte-order mark around it are cut off.

    Raises:
        ValueError: It is missing or cannot be sent in a header; the message says so without repeating it.
    """
    if token_file is not None:
        text = _read_file(token_file)
    elif token_env is not None:
        if token_env not in environ:
            named = token_env if is_name(token_env) else "this one"
            raise ValueError(f"expected the name of a variable that is set: {named} is not")
        text = environ[token_env]
    else:
        text = token.get_secret_value() if isinstance(token, SecretStr) else token or ""
    text = _MARGIN.sub("", text)
    if not text:
        raise ValueError("expected a token: there is nothing")
    if text.startswith("$") or "${" in text:
        raise ValueError("expected a token and not a variable, which is not replaced here: token_env reads one")
    if not VISIBLE_ASCII.fullmatch(text):
        raise ValueError("expected a token of visible ASCII characters: no spaces, line breaks or other letters")
    return text


def _read_file(path: Path | str) -> str:
    try:
        content = read_regular(path, at_most=_LONGEST)
    except OSError as exc:
        raise ValueError(unreadable(path, exc)) from None
    except ValueError:
        raise ValueError("expected the path of a file") from None
    try:
        # PowerShell writes UTF-16, which begins with a byte-order mark.
        return content.decode("utf-16" if content[:2] in _UTF_16 and content[2:] else "utf-8")
    except UnicodeDecodeError:
        raise ValueError("expected a file that holds a token and nothing else") from None


def check_organization(token: str, organization: object) -> None:
    """
    Raise ValueError where an Anyreach token needs an organization, or must have none.

    See https://docs.anyreach.ai/organizations/api-keys-and-tokens.
    """
    if token.startswith("pat_") and organization is None:
        raise ValueError(
            "a personal access token (pat_) needs `organization`: the id of the organization that owns the campaigns"
        )
    if token.startswith("ak_") and organization is not None:
        raise ValueError("an API key (ak_) belongs to one organization already: remove `organization`")
