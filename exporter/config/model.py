"""
Every option of the exporter, its bounds and its default; keys, variables and flags are made from `Settings`.

Durations are written as Prometheus writes them and are seconds once loaded.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from exporter.campaign.labels import MAX_LENGTH
from exporter.config.addresses import (
    BaseUrl,
    ConversationUrl,
    ListenAddress,
    ListenAddresses,
    ProxyUrl,
    TelemetryPath,
)
from exporter.config.fields import (
    LABELS_OF_ATTEMPTS,
    CampaignId,
    Date,
    Days,
    Duration,
    FilePath,
    Integer,
    Interval,
    Labels,
    Level,
    Line,
    Name,
    NotEmpty,
    Number,
    Organization,
    Outcome,
    Secret,
    ShardIndex,
    StallAfter,
    Switch,
    TimeOfDay,
    Timeout,
    Timezone,
    Unquoted,
    at_least,
    parse_duration,
)
from exporter.config.providers import FACTS, ProviderFacts, ProviderName, facts_of
from exporter.config.section import Fault, Section, items_of, refusal, value_of

ListedStatus = Literal["active", "paused", "closed"]
"""The status of a campaign that can be listed."""


class PollSettings(Section):
    """Intervals, time limits and sizes of the polls."""

    active_interval: Interval = 15.0
    """Interval of campaigns whose status is active, and of any with calls in flight; at least 1s."""
    idle_interval: Interval = 120.0
    """Interval of campaigns in any other status; at least 1s."""
    closed_interval: Interval = 3600.0
    """Interval of Anyreach campaigns that are closed, which is final; at least 1s."""
    timeout: Timeout = 10.0
    """Time limit of one request, from connecting to the last byte; above 0."""
    stale_after: Timeout = 60.0
    """Time without a success after which values are withdrawn; never less than three times the campaign's interval."""
    max_in_flight: Annotated[Integer, Field(ge=1)] = 256
    """Requests at once, all accounts together; at least 1."""
    max_body_bytes: Annotated[Integer, Field(ge=1)] = 8_388_608
    """Largest answer in bytes after decompression; a larger one is an error and is not read to its end."""


class CallingWindow(Section):
    """A span of time on some days of the week, in which calls are placed."""

    days: Days
    """Days of the week on which the window starts: a list of mon, tue, wed, thu, fri, sat, sun; or mon-fri."""
    start: TimeOfDay
    """Beginning as HH:MM, 00:00 to 23:59 (once loaded: minutes after midnight)."""
    end: TimeOfDay
    """End as HH:MM, 00:00 to 24:00; one before the start lies on the next day (once loaded: minutes after midnight)."""

    @classmethod
    def cross_check(cls, data: Mapping[str, Any]) -> Iterator[Fault]:
        if data.get("start") == "24:00":
            yield ("start",), "expected a beginning before 24:00"
        elif "start" in data and data["start"] == data.get("end"):
            yield ("end",), "expected an end that differs from the start: the whole day is 00:00 to 24:00"


class CallingHours(Section):
    """When a campaign may call, where the provider does not say it or says it wrongly."""

    timezone: Timezone
    """Time zone of the windows: a name of the IANA database, for example Asia/Kolkata."""
    windows: Annotated[tuple[CallingWindow, ...], NotEmpty]
    """The windows; at least one."""
    closed_on: tuple[Date, ...] = ()
    """Dates without windows, in that time zone, as YYYY-MM-DD: holidays."""


class CampaignSettings(Section):
    """One campaign of an account."""

    id: CampaignId
    """Anyreach: the UUID or external_id, a string. OSVI: the number, a positive integer."""
    name: Name = Field(default_factory=lambda given: str(given["id"])[:MAX_LENGTH], validate_default=True)
    """Label `campaign`, unique within the account, at most 128 characters; default: the id."""
    labels: Labels = Field(default_factory=lambda: MappingProxyType({}))
    """Labels put on every series of the campaign, at most 5; they win over the account's."""
    stall_after: StallAfter | None = None
    """Silence that means a stall while dialing is expected, or never; default: the account's."""
    calling_hours: CallingHours | None = None
    """Hours in which this campaign calls; they win over the account's."""


class DiscoverySettings(Section):
    """Which campaigns of an Anyreach organization are found by listing them."""

    statuses: Annotated[tuple[ListedStatus, ...], NotEmpty] = ("active", "paused")
    """Statuses of the campaigns to find: active, paused, closed."""
    name_contains: Line = ""
    """Part of the names of the campaigns to find; empty for all."""
    refresh_interval: Interval = 300.0
    """Time between two listings; at least 1s."""
    max_campaigns: Annotated[Integer, Field(ge=1)] = 10_000
    """Most campaigns to take from the listing; at least 1."""
    campaign_label: Literal["id", "name"] = "id"
    """Label `campaign` of what is found: id, or name (the provider's; of two that are alike the later keeps its id)."""


class AttemptsSettings(Section):
    """How single attempts are read."""

    refresh_interval: Annotated[float, at_least("1m"), BeforeValidator(parse_duration)] = 600.0
    """Shortest time between two readings of a campaign whose numbers changed; at least 1m."""
    request_share: Annotated[Number, Field(gt=0, le=1)] = 0.25
    """Share of max_requests_per_second that readings may take, of what the polls leave; above 0, at most 1."""
    criteria: tuple[Name, ...] = ("*",)
    """Which `<metric_key>.<criterion_key>` are exported, as shell patterns; [] for none."""
    expected: Annotated[Mapping[Name, Outcome], AfterValidator(MappingProxyType), PlainSerializer(dict)] = Field(
        default_factory=lambda: MappingProxyType({})
    )
    """Outcome that counts as compliant, by criterion: true, false, abstain or na."""
    exemplars: Switch = False
    """Whether the duration histogram carries conversation ids as exemplars (OpenMetrics only)."""
    conversation_url: ConversationUrl = ""
    """URL of a conversation, with {conversation_id} (OSVI: {call_id}) in it: the page links to it."""


class HttpSettings(Section):
    """How an account's requests travel."""

    proxy_url: ProxyUrl | None = None
    """HTTP proxy, with user name and password where it needs them; kept secret."""
    ca_file: FilePath | None = None
    """PEM file of the authorities to trust in place of the system's."""
    cert_file: FilePath | None = None
    """PEM file of the client certificate; needs key_file."""
    key_file: FilePath | None = None
    """PEM file of the client certificate's key; needs cert_file."""
    insecure_skip_verify: Switch = False
    """Whether to accept any server certificate: the token may then reach anyone."""

    @classmethod
    def cross_check(cls, data: Mapping[str, Any]) -> Iterator[Fault]:
        if ("cert_file" in data) != ("key_file" in data):
            yield (), "expected both of cert_file and key_file, or neither"


class AccountSettings(Section):
    """One token of one provider, and the campaigns that are polled with it."""

    name: Name
    """Label `account`, unique, at most 128 characters."""
    provider: ProviderName
    """Label `provider`: anyreach or osvi."""
    token: Secret | None = None
    """The token itself; exactly one of token, token_file and token_env."""
    token_file: FilePath | None = None
    """File that holds the token; a changed content is picked up while running."""
    token_env: Name | None = None
    """Name of the environment variable that holds the token."""
    organization: Organization | None = None
    """Anyreach organization, sent as X-Anyreach-Org; required with a pat_ token, refused with an ak_ key."""
    base_url: BaseUrl = Field(default_factory=lambda given: FACTS[given["provider"]].base_url)
    """URL of the API, with a path prefix where there is one; default: https://api.anyreach.ai or https://api.osvi.ai."""
    max_requests_per_second: Annotated[Number, Field(gt=0)] = 20.0
    """Requests a second with this token; above 0. Intervals are stretched where it does not suffice."""
    max_in_flight: Annotated[Integer, Field(ge=1)] = 16
    """Requests at once with this token; at least 1."""
    calling_windows: Literal["auto", "always", "unknown"] = Field(
        default_factory=lambda given: "auto" if FACTS[given["provider"]].tells_windows else "unknown"
    )
    """Calling windows: auto (read from Anyreach; its default), always (round the clock) or unknown (OSVI's default)."""
    stall_after: StallAfter | None = None
    """
    Silence that means a stall while dialing is expected, or never.

    Default: 1h (Anyreach), 15m or twice the retry delay, whichever is longer (OSVI).
    """
    labels: Labels = Field(default_factory=lambda: MappingProxyType({}))
    """Labels put on every series of the account and its campaigns, at most 5."""
    campaigns: tuple[CampaignSettings, ...] = ()
    """The campaigns to poll."""
    discovery: DiscoverySettings | None = None
    """Finds campaigns by listing them (Anyreach only); left out: off."""
    attempts: AttemptsSettings | None = None
    """Reads single attempts; left out: off."""
    http: HttpSettings = HttpSettings()
    """Proxy and TLS of this account's requests."""
    calling_hours: CallingHours | None = None
    """Hours in which the account's campaigns call; they win over calling_windows."""

    @classmethod
    def cross_check(cls, data: Mapping[str, Any]) -> Iterator[Fault]:
        tokens = [key for key in ("token", "token_file", "token_env") if key in data]
        if len(tokens) != 1:
            found = " and ".join(tokens) or "none"
            yield (), f"expected exactly one of token, token_file and token_env: found {found}"
        facts = facts_of(data.get("provider"))
        if facts is not None:
            yield from _unsupported(data, facts)
        campaigns = list(enumerate(items_of(data.get("campaigns"))))
        yield from _wrong_campaigns(campaigns, facts)
        if "attempts" in data:
            for key, section in (((), data), *((("campaigns", index), campaign) for index, campaign in campaigns)):
                labels = value_of(section, "labels")
                for name in labels if isinstance(labels, dict) else ():
                    if name in LABELS_OF_ATTEMPTS:
                        words = "expected another label name: the metrics of attempts have this one"
                        yield (*key, "labels", name), words

    @property
    def facts(self) -> ProviderFacts:
        """What its provider has."""
        return FACTS[self.provider]

    def labels_of(self, campaign: CampaignSettings | None) -> Mapping[str, str]:
        """The labels of a campaign's series; None stands for a campaign that was discovered."""
        return {**self.labels, **(campaign.labels if campaign else {})}

    def calling_hours_of(self, campaign: CampaignSettings | None) -> CallingHours | None:
        """The configured hours of a campaign; None where `calling_windows` decides."""
        return (campaign.calling_hours if campaign else None) or self.calling_hours

    def stall_after_of(self, campaign: CampaignSettings | None) -> float | None:
        """Seconds of silence that mean a stall, None for never."""
        configured = (campaign.stall_after if campaign else None) or self.stall_after or self.facts.stall_after
        return None if configured == "never" else configured


def _unsupported(account: Mapping[str, Any], facts: ProviderFacts) -> Iterator[Fault]:
    if "organization" in account and not facts.has_organizations:
        yield ("organization",), f"expected no such key: {facts.title} has none"
    if "discovery" in account and not facts.lists_campaigns:
        yield ("discovery",), f"`discovery` is not supported for {facts.title}: it has no route that lists campaigns"
    if account.get("calling_windows") == "auto" and not facts.tells_windows:
        words = f"expected always or unknown: {facts.title} does not tell its windows (calling_hours can)"
        yield ("calling_windows",), words


def _wrong_campaigns(campaigns: Iterable[tuple[int, Any]], facts: ProviderFacts | None) -> Iterator[Fault]:
    ids: dict[str, int] = {}
    names: dict[str, int] = {}
    for index, campaign in campaigns:
        campaign_id = value_of(campaign, "id")
        if not isinstance(campaign_id, int | str) or isinstance(campaign_id, bool | Unquoted):
            continue
        match facts:
            case ProviderFacts(numeric_ids=False) if isinstance(campaign_id, int):
                yield ("campaigns", index, "id"), "expected a string: quote it"
            case ProviderFacts(numeric_ids=True) if isinstance(campaign_id, str) or campaign_id < 1:
                yield ("campaigns", index, "id"), "expected a positive whole number, not quoted"
        name = value_of(campaign, "name") or campaign_id
        if (first := ids.setdefault(str(campaign_id), index)) != index:
            words = f"expected an id that is unique within the account: campaigns[{first}] has it"
            yield ("campaigns", index, "id"), words
        elif (first := names.setdefault(str(name)[:MAX_LENGTH], index)) != index:
            words = f"expected a name that is unique within the account: campaigns[{first}] has it"
            yield ("campaigns", index, "name"), words


class WebConfigSettings(Section):
    """TLS and users of the web server."""

    file: FilePath | None = None
    """File with TLS, users and headers, in the format of Prometheus' exporter toolkit; none by default."""


class WebSettings(Section):
    """The web server."""

    listen_address: ListenAddresses = (ListenAddress(port=10077),)
    """Addresses to listen on: host:port, :port, [::1]:port or unix:/path."""
    telemetry_path: TelemetryPath = "/metrics"
    """Path of the metrics; begins with a slash."""
    enable_lifecycle: Switch = False
    """Whether a request to /-/reload may reload the configuration."""
    config: WebConfigSettings = WebConfigSettings()
    """TLS and users."""


class LogSettings(Section):
    """The log, on standard error."""

    level: Level = "info"
    """Least severity that is logged: debug, info, warning or error."""
    format: Literal["logfmt", "json"] = "logfmt"
    """Form of a line: logfmt or json."""


class ShardSettings(Section):
    """Which part of the accounts this process serves."""

    count: Annotated[Integer, Field(ge=1)] = 1
    """Number of processes that share the accounts; at least 1."""
    index: ShardIndex = 0
    """This process's number, from 0, less than count; `hostname`: the number that ends a StatefulSet pod's name."""

    @field_validator("index")
    @classmethod
    def _below_count(cls, index: int, info: ValidationInfo) -> int:
        # The count is missing here where it is at fault itself.
        if index >= info.data.get("count", index + 1):
            raise refusal("expected an index less than shard.count")
        return index


class ReloadSettings(Section):
    """Reloading when the file changes."""

    auto_interval: Duration = 0.0
    """Time between two checks of the file's content, which is reloaded when it has changed; 0s for never."""


class Settings(Section, BaseSettings):
    """The whole configuration."""

    model_config = SettingsConfigDict(env_prefix="CAMPAIGN_EXPORTER_", env_nested_delimiter="__")

    poll: PollSettings = PollSettings()
    """Intervals, time limits and sizes of the polls."""
    accounts: Annotated[tuple[AccountSettings, ...], NotEmpty]
    """The accounts, each with its token and its campaigns; at least one."""
    shard: ShardSettings = ShardSettings()
    """Which part of the accounts this process serves."""
    reload: ReloadSettings = ReloadSettings()
    """Reloading when the file changes."""
    web: WebSettings = WebSettings()
    """The web server."""
    log: LogSettings = LogSettings()
    """The log, on standard error."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take the arguments alone: `load` reads the other sources, because each fault names its own."""
        return (init_settings,)

    @classmethod
    def cross_check(cls, data: Mapping[str, Any]) -> Iterator[Fault]:
        names: dict[str, int] = {}
        for index, account in enumerate(items_of(data.get("accounts"))):
            name = value_of(account, "name")
            if isinstance(name, str) and (first := names.setdefault(name, index)) != index:
                yield ("accounts", index, "name"), f"expected a name that is unique: accounts[{first}] has it"

    def warnings(self) -> list[str]:
        """One sentence for each thing that is allowed and probably not meant."""
        found = []
        for account in self.accounts:
            who = f"account {account.name!r}"
            if not _stays_secret(account.base_url):
                found.append(f"{who} sends its token unencrypted: base_url is plain http")
            if account.http.insecure_skip_verify:
                found.append(f"{who} accepts any server certificate: http.insecure_skip_verify is on")
        return found


def _stays_secret(base_url: str) -> bool:
    url = urlsplit(base_url)
    host = url.hostname or ""
    if url.scheme == "https" or host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
