"""What to do when a request has failed: one sentence or two for each reason and provider."""

from types import MappingProxyType
from urllib.parse import urlsplit

from exporter.config.model import AccountSettings
from exporter.providers.errors import ForbiddenError, PollError

_FOR_BOTH = MappingProxyType(
    {
        "timeout": "Check the network between here and {host}, or raise `poll.timeout`.",
        "dns": "Check the spelling of `{address}`, and whether names can be looked up on this machine.",
        "connect": "Check whether `{address}` is right and {host} can be reached from here: a firewall may be in the "
        "way, or a proxy needed (`http.proxy_url`).",
        "tls": "Check whether the certificate is for the host in `base_url` and this machine's clock is right; where a "
        "private authority has signed it, name that authority's file in `http.ca_file`.",
        "protocol": "Check scheme and port of `base_url`, and what stands between here and {host}: the answer is no "
        "HTTP, or is cut off.",
        "credentials": "Put the token where `{token}` says, and see that the exporter may read it.",
        "rate_limited": "Lower `max_requests_per_second`, or find out what else uses the same token.",
        "client_error": "Check the spelling of the id, and the path in `base_url`.",
        "server_error": "The fault is on the provider's side: try again later. The exporter goes on trying by itself.",
        "redirect": "Write the API's final address into `base_url`: a redirect is never followed, since the token must "
        "not travel.",
        "too_large": "Raise `poll.max_body_bytes`, if answers of that size are to be expected.",
        "invalid_response": "Check whether `base_url` leads to the API, and not to a web page or a proxy's log-in.",
        "internal": "This is a defect of the exporter: report it, with the trace that the log shows.",
    }
)
_BY_PROVIDER = MappingProxyType(
    {
        "anyreach": {
            "unauthorized": "The token in `{token}` is wrong, has expired or was deleted: make a new one.",
            "forbidden": "The token is genuine and lacks a scope: give it `campaigns:read`.",
            "not_found": "The id is wrong, or the campaign was deleted or belongs to another account's organization: "
            "`campaign-exporter discover` lists the campaigns that this token can see.",
        },
        "osvi": {
            "unauthorized": "The token in `{token}` is wrong or was replaced: copy the one that the dashboard shows "
            "under Settings, API.",
            "forbidden": "The token may not read this campaign: ask the provider what it may read.",
            "not_found": "The number is wrong, or the campaign was deleted or belongs to another account: the "
            "dashboard shows the numbers of this account's campaigns.",
        },
    }
)
_WITH_ORGANIZATION = MappingProxyType(
    {
        "unauthorized": " Check also that `organization` is the id of the one that owns the campaigns.",
        "forbidden": " The token's owner must be a member of `organization`.",
    }
)
"""What else may be wrong with a personal access token, which no other token's account has."""
_NO_LISTING = "Check the path in `base_url`: the API lists no campaigns there."

_HOURS_NOT_ASKED = "Write `calling_hours`, or `calling_windows: always` where it is dialed round the clock."
_HOURS_FORBIDDEN = "Give the token the scope `campaigns:read`, or write `calling_hours`."
HOURS_NOT_READ = "if the API has no such route, or this goes on, write `calling_hours` or `calling_windows: always`"


def hours_advice(error: PollError | None, account: AccountSettings) -> str | None:
    """Say why it is not known when a campaign of an account may dial, and what to do; None before the first answer."""
    if account.calling_windows != "auto":
        return _HOURS_NOT_ASKED
    if error is None:
        return None
    forbidden = isinstance(error, ForbiddenError)
    return f"{error}. {_HOURS_FORBIDDEN if forbidden else f'{HOURS_NOT_READ[0].upper()}{HOURS_NOT_READ[1:]}.'}"


def advice(reason: str, account: AccountSettings, *, listing: bool = False) -> str:
    """
    Say what to do about a request of an account that failed for that reason.

    Scopes and tokens: https://docs.anyreach.ai/organizations/api-keys-and-tokens and
    https://docs.osvi.ai/api-reference/introduction.

    Args:
        listing: Whether its campaigns were to be listed, so that no id can be wrong.
    """
    if listing and reason in ("not_found", "client_error"):
        return _NO_LISTING
    words = _FOR_BOTH.get(reason) or _BY_PROVIDER[account.provider][reason]
    if account.organization is not None:
        words += _WITH_ORGANIZATION.get(reason, "")
    if reason == "not_found" and account.base_url != account.facts.base_url:
        words += " A wrong path in `base_url` gives the same answer."
    return words.format(
        host=urlsplit(account.base_url).hostname,
        address="http.proxy_url" if account.http.proxy_url is not None else "base_url",
        token=next(key for key in ("token_file", "token_env", "token") if getattr(account, key) is not None),
    )
