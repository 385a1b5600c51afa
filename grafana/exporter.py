"""The exporter itself: whether the numbers on the other dashboards can be trusted."""

from grafana_foundation_sdk.builders import stat, table
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana import palette, polls, process, queries, thresholds
from grafana.panels import About, Query, counted, figure
from grafana.queries import of_account, of_campaign, of_exporter, of_process, once
from grafana.shell import assembled, exporter_up
from grafana.tables import Column, grid, number, stepped, text, words_cell

UID = "campaign-exporter-exporter"


def _lowest(metric: str) -> str:
    """The lowest value among replicas, which `max` around its complement gives."""
    return "1 - " + once("1 - " + of_exporter(metric))


_HASH = of_exporter("campaign_exporter_config_hash")
_SHARD = of_exporter("campaign_exporter_shard_index")
_SHARDS = once(of_exporter("campaign_exporter_shards"))


def build() -> Dashboard:
    """The dashboard as Grafana reads it."""
    return assembled(
        UID,
        "The exporter at work: polls, their pace and their failures, and what the process costs.",
        [
            exporter_up(),
            _polled_campaigns(),
            _refused_accounts(),
            _missing_shards(),
            _configuration(),
            _last_reload(),
            _web_configuration(),
            _oldest_data(),
        ],
        [_instances()],
        [_accounts()],
        polls.results(),
        polls.punctuality(),
        polls.budget(),
        polls.freshness(),
        process.cost(),
        process.messages(),
        single=False,
    )


def _polled_campaigns() -> stat.Panel:
    return figure(
        About(
            "Polled campaigns",
            "How many campaigns the chosen instances poll.",
            "A pair of replicas counts once.",
            "No instance",
        ),
        Query(f"sum({once(of_account('campaign_exporter_campaigns'))})"),
    )


def _refused_accounts() -> stat.Panel:
    return figure(
        About(
            "Refused accounts",
            "How many accounts the providers turn away.",
            "The token is wrong, expired or lacks the scope; one probe a minute goes on. This pages.",
            "No account",
        ),
        Query(f"sum({once(of_account('campaign_exporter_breaker_open'))})"),
        steps=counted(palette.BAD),
    )


def _missing_shards() -> stat.Panel:
    return figure(
        About(
            "Missing shards",
            "How many shards nobody serves.",
            "Shards as configured less the different ones that answer. Choose all instances to see the truth.",
            "No instance",
        ),
        Query(f'max({_SHARDS}) - count(count_values("shard", {_SHARD}))'),
        steps=counted(palette.WARNING),
    )


def _configuration() -> stat.Panel:
    return figure(
        About(
            "Configuration",
            "Whether all chosen instances run the same configuration.",
            "Compares the hash over the configuration without secrets, shard index and addresses.",
            "No instance",
        ),
        Query(f"max({once(_HASH)} != bool min without (instance, pod) ({_HASH}))"),
        words={"0": ("equal", palette.GOOD), "1": ("differs", palette.WARNING)},
    )


def _last_reload() -> stat.Panel:
    return figure(
        About(
            "Last reload",
            "Whether the last reload took effect.",
            "After a failed one the old configuration goes on; the log says what is wrong.",
            "No instance",
        ),
        Query(f"min({_lowest('campaign_exporter_config_last_reload_successful')})"),
        words={"1": ("successful", palette.GOOD), "0": ("failed", palette.WARNING)},
    )


def _web_configuration() -> stat.Panel:
    return figure(
        About(
            "Web files",
            "Whether certificates and users of the exporter's own server could be read.",
            "Read again when its files change; after a failure the old ones stay. Usable too where there is none.",
            "No instance",
        ),
        Query(f"min({_lowest('campaign_exporter_web_config_last_reload_successful')})"),
        words={"1": ("usable", palette.GOOD), "0": ("not usable", palette.WARNING)},
    )


def _oldest_data() -> stat.Panel:
    return figure(
        About(
            "Oldest data",
            "How old the oldest data of any campaign that is not closed are.",
            "Time since the last successful poll; campaigns that fail are included.",
            "No poll yet",
        ),
        Query(f"max({queries.OPEN_DATA_AGE})"),
        unit="s",
        decimals=0,
    )


def _instances() -> table.Panel:
    def each(vector: str, *labels: str) -> str:
        return f"max by ({', '.join(('cluster', 'job', 'instance', *labels))}) ({vector})"

    # The column is there too while the instance does not answer.
    unknown = f'label_replace({queries.UP}, "version", "-", "", "")'
    version = f"{of_exporter('campaign_exporter_build_info')} or on (job, instance) {unknown}"
    loaded = of_exporter("campaign_exporter_config_last_reload_success_timestamp_seconds")
    return grid(
        About(
            "Instances",
            "Which instances there are, and whether each of them answers.",
            "Instances of one shard must have the same configuration hash.",
            "No instance was seen within a day",
        ),
        [
            Query(each(queries.UP), name="Up"),
            Query(each(version, "version"), name="Version"),
            Query(each(of_exporter("campaign_exporter_shard_index")), name="Shard"),
            Query(each(of_exporter("campaign_exporter_config_hash")), name="Hash"),
            Query(f"{each(loaded)} * 1000", name="Loaded"),
            Query(each(of_process("process_resident_memory_bytes")), name="Memory"),
            Query(each(queries.BUSY), name="Busy"),
        ],
        [
            Column("Answers", "Up", words_cell({"1": ("up", palette.GOOD), "0": ("down", palette.BAD)}, 90)),
            Column("Instance", "instance", text()),
            Column("Job", "job", text()),
            Column("Version", "version", text(110)),
            Column("Shard", "Shard", number("none", 70)),
            Column("Configuration hash", "Hash", number("none", 170, decimals=0)),
            Column("Loaded", "Loaded", number("dateTimeFromNow", 130)),
            Column("Memory", "Memory", number("bytes", 100)),
            Column("Processor", "Busy", number("percentunit", 100, decimals=0)),
        ],
        sort_by={"Answers": False, "Instance": False},
        height=5,
    )


def _accounts() -> table.Panel:
    def each(metric: str, change: str = "") -> str:
        return queries.per_account(once(of_account(metric)) + change)

    failing = f"count by (cluster, provider, account) ({once(of_campaign('campaign_up'))} == 0)"
    listed = each("campaign_exporter_discovery_last_success_timestamp_seconds", " * 1000")
    stretch = each("campaign_exporter_interval_stretch", f" - {thresholds.INTERVAL_STRETCH:g}")
    return grid(
        About(
            "Accounts",
            "What each provider lets its account read, and whether the account's requests suffice.",
            "A dash is what is not read at all. Stretch is how much longer the intervals are than configured, since"
            " max_requests_per_second can't carry them.",
            "No account: is the exporter up?",
        ),
        [
            Query(each("campaign_exporter_breaker_open", " != bool 1"), name="Token"),
            Query(each("campaign_exporter_discovery_success"), name="Listing"),
            Query(each("campaign_exporter_windows_readable"), name="Windows"),
            Query(each("campaign_exporter_attempts_readable"), name="Attempts"),
            Query(listed, name="Listed"),
            Query(each("campaign_exporter_campaigns"), name="Campaigns"),
            Query(failing, name="Failing"),
            Query(stretch, name="Stretch"),
            Query(queries.per_account(queries.OPEN_DATA_AGE), name="Age"),
        ],
        _account_columns(),
        sort_by={"Token": False, "Account": False},
        height=9,
    )


def _account_columns() -> list[Column]:
    may = {"1": ("ok", palette.GOOD), "0": ("refused", palette.WARNING)}
    return [
        Column("Account", "account", text()),
        Column("Provider", "provider", text(90)),
        Column("Token", "Token", words_cell(may | {"0": ("refused", palette.BAD)}, 85)),
        Column("Listing", "Listing", words_cell(may | {"0": ("fails", palette.WARNING)}, 85, ground=False)),
        Column("Windows", "Windows", words_cell(may, 85, ground=False)),
        Column("Attempts", "Attempts", words_cell(may, 85, ground=False)),
        Column("Listed", "Listed", number("dateTimeFromNow", 145)),
        Column("Campaigns", "Campaigns", number("none", 100)),
        Column("Failing", "Failing", stepped(number("none", 80), (1, palette.BAD))),
        Column("Stretch", "Stretch", number("percentunit", 85, decimals=0)),
        Column("Oldest data", "Age", number("s", 110, decimals=0)),
    ]
