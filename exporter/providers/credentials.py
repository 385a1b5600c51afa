"""What an account proves itself with, to its provider and to a proxy."""

import base64
import os
from collections.abc import Iterator

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


Token = str | CredentialsError
"""An account's token, or why there is none."""


def token_of(account: AccountSettings) -> Token:
    """Read the token of an account; it blocks while it reads a file."""
    try:
        token = read_token(
            token=account.token, token_file=account.token_file, token_env=account.token_env, environ=os.environ
        )
        if account.facts.has_organizations:
            check_organization(token, account.organization)
    except ValueError as exc:
        return CredentialsError(str(exc))
    return token
