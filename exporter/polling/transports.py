"""The connections of an account, made from its settings."""

from collections.abc import Callable

from exporter.config.model import AccountSettings, PollSettings
from exporter.config.section import ConfigurationError
from exporter.providers.http import Transport
from exporter.providers.redaction import Secrets


def transport_of(
    account: AccountSettings, poll: PollSettings, wall: Callable[[], float], secrets: Secrets
) -> Transport:
    """
    Make an account's connections, closed as yet; the secrets are kept out of its answers.

    Raises:
        ConfigurationError: A file of certificates cannot be read or is none.
    """
    proxy = account.http.proxy_url
    try:
        return Transport(
            account.base_url,
            timeout=poll.timeout,
            max_body_bytes=poll.max_body_bytes,
            max_in_flight=account.max_in_flight,
            proxy_url=proxy.get_secret_value() if proxy else None,
            ca_file=account.http.ca_file,
            cert_file=account.http.cert_file,
            key_file=account.http.key_file,
            insecure_skip_verify=account.http.insecure_skip_verify,
            wall_clock=wall,
            redact=secrets.in_answer,
        )
    except OSError as exc:
        raise ConfigurationError([f"account {account.name!r}: http: the certificates can't be used: {exc}"]) from exc


def same_upstream(one: AccountSettings, other: AccountSettings) -> bool:
    """Whether two settings mean the same campaigns, so that what is known of them stays true."""
    return (one.provider, one.base_url, one.organization) == (other.provider, other.base_url, other.organization)
