"""The token of an account, from a value, a file or a variable, and the headers that carry it."""

import base64
import os
from collections.abc import Callable, Iterator, Mapping

from multidict import CIMultiDict, istr
from pydantic import SecretStr
from yarl import URL

from exporter.config.model import AccountSettings
from exporter.config.tokens import check_organization, read_token
from exporter.providers.errors import CredentialsError


def secrets_of_proxy(proxy_url: SecretStr | None) -> Iterator[str]:
    """Yield what must not be shown of a proxy: its URL, its password, and user and password as they are sent."""
    if proxy_url is None:
        return
    yield proxy_url.get_secret_value()
    url = URL(proxy_url.get_secret_value())
    if url.password:
        yield url.password
        yield basic_auth(url)


def basic_auth(url: URL) -> str:
    """The user and the password of a URL as they are sent, in UTF-8. See https://httpwg.org/specs/rfc7617.html."""
    return base64.b64encode(f"{url.user or ''}:{url.password or ''}".encode()).decode()


class Credentials:
    """
    The token of one account.

    The file is compared by content, not by time stamp: Kubernetes swaps symbolic links under it.
    """

    def __init__(self, account: AccountSettings) -> None:
        self._account = account
        self._token: str | None = None
        self._problem = ""
        self.refresh()

    def token(self) -> str:
        """The token as it was last read; CredentialsError where that failed."""
        if self._token is None:
            raise CredentialsError(self._problem)
        return self._token

    def refresh(self) -> bool:
        """Read the token again, blocking; returns whether it has changed, appeared or gone."""
        before = self._token
        account = self._account
        try:
            token = read_token(
                token=account.token,
                token_file=account.token_file,
                token_env=account.token_env,
                environ=os.environ,
            )
            if account.provider == "anyreach":
                check_organization(token, account.organization)
        except ValueError as exc:
            self._token, self._problem = None, str(exc)
        else:
            self._token = token
        return self._token != before


class AuthorizedHeaders:
    """
    The headers that carry an account's token; made again when the token changes.

    Args:
        token: Gives the token in force; may be replaced at any time.
    """

    def __init__(self, token: Callable[[], str], header: Callable[[str], Mapping[str, str]]) -> None:
        self.token = token
        self._header = header
        self._sent: str | None = None
        self._headers: CIMultiDict[str] = CIMultiDict()

    def current(self) -> Mapping[str, str]:
        """The headers with the token in force; CredentialsError where there is none."""
        token = self.token()
        if token != self._sent:
            # Names of this class need no conversion at each request.
            self._headers = CIMultiDict({istr(name): value for name, value in self._header(token).items()})
            self._sent = token
        return self._headers
