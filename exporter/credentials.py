"""A token from value, file or variable, read anew when the file changes; shown to nobody but a provider."""

import base64
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import SecretStr
from yarl import URL

from exporter.errors import CredentialsError
from exporter.settings import VISIBLE_ASCII, AccountSettings


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


def secrets_of_proxy(proxy_url: SecretStr | None) -> Iterator[str]:
    """Tell what must not be shown of a proxy: its URL, its password, and user and password as they are sent."""
    if proxy_url is None:
        return
    yield proxy_url.get_secret_value()
    url = URL(proxy_url.get_secret_value())
    if url.password:
        yield url.password
        # https://httpwg.org/specs/rfc7617.html, in the encoding that aiohttp sends.
        yield base64.b64encode(f"{url.user or ''}:{url.password}".encode("latin-1", "replace")).decode()


class Credentials:
    """
    The token of one account.

    The file is compared by content, not by time stamp: Kubernetes swaps symbolic links under it.
    """

    def __init__(self, account: AccountSettings, *, environ: Mapping[str, str] | None = None) -> None:
        self._account = account
        self._environ = os.environ if environ is None else environ
        self._token: str | None = None
        self._problem = "the token has not been read yet"
        self.refresh()

    def __repr__(self) -> str:
        return f"<Credentials of {self._account.name!r}>"

    def token(self) -> str:
        """
        The token as it was last read.

        Raises:
            CredentialsError: It could not be read then, or is none that can be sent.
        """
        if self._token is None:
            raise CredentialsError(self._problem)
        return self._token

    def refresh(self) -> bool:
        """
        Read the token anew, and say whether it is another one (or gone, or back).

        It blocks while it reads the file; from a coroutine it is called in a thread.
        """
        before = self._token
        account = self._account
        try:
            token = read_token(
                token=account.token,
                token_file=account.token_file,
                token_env=account.token_env,
                environ=self._environ,
            )
            if account.provider == "anyreach":
                check_organization(token, account.organization)
        except ValueError as exc:
            self._token, self._problem = None, str(exc)
        else:
            self._token = token
        return self._token != before
