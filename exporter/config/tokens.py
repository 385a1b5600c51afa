"""Where a token stands, and whether it can be sent."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from exporter.config.model import VISIBLE_ASCII


def read_token(
    *, token: SecretStr | str | None, token_file: Path | str | None, token_env: str | None, environ: Mapping[str, str]
) -> str:
    """
    Fetch a token from where it stands, which is one of the first three arguments.

    Raises:
        ValueError: It is not there or could not stand in a header; the message says so without repeating it.
    """
    if token_file is not None:
        try:
            # An editor ends a file with a line break, which is no part of the token.
            text = Path(token_file).read_text(encoding="utf-8").strip()
        except UnicodeDecodeError:
            raise ValueError("expected a file that holds a token and nothing else") from None
        except OSError as exc:
            raise ValueError(f"expected a file that can be read: {exc.strerror}") from None
        except ValueError:
            raise ValueError("expected the path of a file") from None
    elif token_env is not None:
        if token_env not in environ:
            raise ValueError("expected the name of a variable that is set: this one is not")
        text = environ[token_env]
    else:
        text = token.get_secret_value() if isinstance(token, SecretStr) else token or ""
    if not text:
        raise ValueError("expected a token: there is nothing")
    if not VISIBLE_ASCII.fullmatch(text):
        raise ValueError("expected a token of visible ASCII characters: no spaces, line breaks or other letters")
    return text


def check_organization(token: str, organization: object) -> None:
    """
    Hold an Anyreach token against the organization that goes with it.

    See https://docs.anyreach.ai/organizations/api-keys-and-tokens.

    Raises:
        ValueError: One of the two is one too many or missing; the message says what to do.
    """
    if token.startswith("pat_") and organization is None:
        raise ValueError(
            "a personal access token (pat_) needs `organization`: the id of the organization that owns the campaigns"
        )
    if token.startswith("ak_") and organization is not None:
        raise ValueError("an API key (ak_) belongs to one organization already: remove `organization`")
