"""The exporter itself: whether the numbers on the other dashboards can be trusted."""

from grafana_foundation_sdk.builders import stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana import palette, queries, thresholds
from grafana.panels import (
    About,
    Column,
    Query,
    by_name,
    by_threshold,
    chart,
    counted,
    figure,
    fixed,
    grid,
    timeline,
    words_cell,
)
from grafana.panels import thresholds as steps
from grafana.queries import of_account, of_campaign, of_exporter, once, quantile, rate
from grafana.shell import assembled

UID = "campaign-exporter-exporter"

_HASH = of_exporter("campaign_exporter_config_hash")
_SHARD = of_exporter("campaign_exporter_shard_index")
_SHARDS = once(of_exporter("campaign_exporter_shards"))


def build() -> Dashboard:
    """The dashboard as Grafana reads it."""
    return assembled(
        UID,
        "The exporter at work: polls, their pace and their failures, and what the process costs.",
        [
            _polled_campaigns(),
            _refused_accounts(),
            _missing_shards(),
            _configuration(),
            _last_reload(),
            _configuration_loaded(),
            _oldest_data(),
            _version(),
        ],
        [_instances()],
        [_polls_by_result(), _failing_campaigns_by_reason()],
        [_request_latency(), _lag_of_polls()],
        [_throttling(), _stretch_of_intervals()],
        [_freshness(), _requests_in_flight()],
        [_discovery(), _age_of_discovery()],
        [_cost_of_a_scrape(), _memory()],
        [_processor(), _log_messages()],
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
        colour=fixed(palette.PACE),
        width=3,
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
        colour=by_threshold(),
        steps=counted(palette.BAD),
        width=3,
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
        colour=by_threshold(),
        steps=counted(palette.WARNING),
        width=3,
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
        colour=fixed(palette.AT_REST),
        words={"0": ("equal", palette.GOOD), "1": ("differs", palette.WARNING)},
        width=3,
    )


def _last_reload() -> stat.Panel:
    return figure(
        About(
            "Last reload",
            "Whether the last reload took effect.",
            "After a failed one the old configuration goes on; the log says what is wrong.",
            "No instance",
        ),
        Query("min(1 - " + once("1 - " + of_exporter("campaign_exporter_config_last_reload_successful")) + ")"),
        colour=fixed(palette.AT_REST),
        words={"1": ("successful", palette.GOOD), "0": ("failed", palette.WARNING)},
        width=3,
    )


def _configuration_loaded() -> stat.Panel:
    return figure(
        About(
            "Configuration loaded",
            "When the configuration was last read with success.",
            "At the start or at a reload.",
            "No instance",
        ),
        Query(f"max({once(of_exporter('campaign_exporter_config_last_reload_success_timestamp_seconds'))}) * 1000"),
        unit="dateTimeFromNow",
        colour=fixed(palette.PACE),
        width=3,
    )


def _oldest_data() -> stat.Panel:
    return figure(
        About(
            "Oldest data",
            "How old the oldest data of any campaign are.",
            "Time since the last successful poll; campaigns that fail are included.",
            "No data yet",
        ),
        Query(f"max({queries.DATA_AGE})"),
        unit="s",
        decimals=0,
        colour=fixed(palette.PACE),
        width=3,
    )


def _version() -> stat.Panel:
    return figure(
        About(
            "Version",
            "Which versions the chosen instances run.",
            "More than one only while they are being replaced.",
            "No instance",
        ),
        Query(f"max by (version) ({once(of_exporter('campaign_exporter_build_info'))})", "{{version}}"),
        colour=fixed(palette.PACE),
        names_only=True,
        width=3,
    )


def _polls_by_result() -> timeseries.Panel:
    return chart(
        About(
            "Polls by result",
            "How many polls succeed and why others fail.",
            "Polls a second. A reason is drawn only while it occurs, so there is none while all polls succeed.",
            "No poll",
        ),
        Query(
            "sum(" + once(rate(of_account("campaign_exporter_polls_total", 'result="success"'))) + ")",
            "success",
            "Success",
            "150s",
        ),
        Query(
            "sum by (result) ("
            + once(rate(of_account("campaign_exporter_polls_total", 'result!="success"')))
            + ") > 0",
            "{{result}}",
            "Failure",
            "150s",
        ),
        unit="reqps",
        colour=by_name(),
        colours={"success": palette.GOOD},
        stacked=True,
    )


def _failing_campaigns_by_reason() -> timeseries.Panel:
    return chart(
        About(
            "Failing campaigns by reason",
            "How many campaigns fail now, and why.",
            "The reason of each failing campaign's last error. Empty while all campaigns succeed.",
            "No campaign fails",
        ),
        Query(f"sum by (reason) ({once(of_campaign('campaign_poll_error'))})", "{{reason}}"),
        unit="none",
        colour=by_name(),
        stacked=True,
    )


def _request_latency() -> timeseries.Panel:
    return chart(
        About(
            "Request latency",
            "How long the providers take to answer.",
            "From the first packet to the last byte: half of the requests are faster than the median, one in a"
            " hundred is slower than p99.",
            "No request",
        ),
        Query(
            quantile(0.5, of_account("campaign_exporter_request_duration_seconds_bucket"), "account"),
            "{{account}} median",
            "Median",
            min_step="5m",
        ),
        Query(
            quantile(0.99, of_account("campaign_exporter_request_duration_seconds_bucket"), "account"),
            "{{account}} p99",
            "P99",
            min_step="5m",
        ),
        unit="s",
        colour=by_name(),
    )


def _lag_of_polls() -> timeseries.Panel:
    return chart(
        About(
            "Lag of polls",
            "How late polls start.",
            "One poll in twenty is later than p95. The line is where the alert on late polls starts.",
            "No poll",
        ),
        Query(
            quantile(0.5, of_exporter("campaign_exporter_poll_lag_seconds_bucket")), "median", "Median", min_step="5m"
        ),
        Query(
            quantile(thresholds.POLL_LAG_QUANTILE, of_exporter("campaign_exporter_poll_lag_seconds_bucket")),
            "p95",
            "P95",
            min_step="5m",
        ),
        unit="s",
        colour=by_name(),
        steps=steps((thresholds.POLL_LAG_SECONDS, palette.WARNING)),
    )


def _throttling() -> timeseries.Panel:
    return chart(
        About(
            "Throttling",
            "How much polls wait for an account's request budget.",
            "Share of the time that polls waited, all polls of an account together.",
            "No account",
        ),
        Query(once(rate(of_account("campaign_exporter_throttled_seconds_total"))), "{{account}}", min_step="150s"),
        unit="percentunit",
        colour=by_name(),
    )


def _stretch_of_intervals() -> timeseries.Panel:
    return chart(
        About(
            "Stretch of intervals",
            "By how much an account's intervals are stretched, because its budget can't carry them.",
            "0 is none; the alert on throttling starts above it.",
            "No account",
        ),
        Query(
            f"{once(of_account('campaign_exporter_interval_stretch'))} - {thresholds.INTERVAL_STRETCH:g}",
            "{{account}}",
            min_step="60s",
        ),
        unit="percentunit",
        colour=by_name(),
    )


def _freshness() -> timeseries.Panel:
    return chart(
        About(
            "Freshness",
            "How old the oldest data of each account are.",
            "Time since the last successful poll, largest of the account's campaigns.",
            "No data yet",
        ),
        Query(f"max by (provider, account) ({queries.DATA_AGE})", "{{account}}"),
        unit="s",
        colour=by_name(),
    )


def _requests_in_flight() -> timeseries.Panel:
    return chart(
        About(
            "Requests in flight",
            "How many requests are under way.",
            "By account, at the moment of the scrape.",
            "No account",
        ),
        Query(once(of_account("campaign_exporter_requests_in_flight")), "{{account}}"),
        unit="none",
        colour=by_name(),
    )


def _discovery() -> statetimeline.Panel:
    return timeline(
        About(
            "Discovery",
            "Whether each account's campaigns could be listed.",
            "A failed listing removes no campaign. Empty when no account discovers its campaigns.",
            "No discovery",
        ),
        Query(once(of_account("campaign_exporter_discovery_success")), "{{account}}"),
        words={"1": ("successful", palette.GOOD), "0": ("failed", palette.WARNING)},
        height=6,
    )


def _age_of_discovery() -> timeseries.Panel:
    return chart(
        About(
            "Age of discovery",
            "How long ago each account's campaigns were last listed.",
            "Empty when no account discovers its campaigns.",
            "No discovery",
        ),
        Query(
            f"time() - {once(of_account('campaign_exporter_discovery_last_success_timestamp_seconds'))}",
            "{{account}}",
        ),
        unit="s",
        colour=by_name(),
        height=6,
    )


def _cost_of_a_scrape() -> timeseries.Panel:
    return chart(
        About(
            "Cost of a scrape",
            "How long making the page for Prometheus takes.",
            "Without the time on the network.",
            "No scrape",
        ),
        Query(
            quantile(0.5, of_exporter("campaign_exporter_scrape_duration_seconds_bucket")),
            "median",
            "Median",
            min_step="5m",
        ),
        Query(
            quantile(0.99, of_exporter("campaign_exporter_scrape_duration_seconds_bucket")), "p99", "P99", min_step="5m"
        ),
        unit="s",
        colour=by_name(),
    )


def _memory() -> timeseries.Panel:
    return chart(
        About(
            "Memory",
            "How much memory the process holds.",
            "The largest of the chosen instances; choose one above to see it alone.",
            "No instance",
        ),
        Query(once(of_exporter("process_resident_memory_bytes")), "resident"),
        unit="bytes",
        colour=fixed(palette.PACE),
    )


def _processor() -> timeseries.Panel:
    return chart(
        About(
            "Processor",
            "How much of one core the process uses.",
            "The busiest of the chosen instances; 100 % is one whole core.",
            "No instance",
        ),
        Query(once(rate(of_exporter("process_cpu_seconds_total"))), "busy"),
        unit="percentunit",
        colour=fixed(palette.PACE),
    )


def _log_messages() -> timeseries.Panel:
    return chart(
        About(
            "Log messages",
            "How much the exporter has to say, by level.",
            "Messages a minute. Warnings and errors deserve a look at the log.",
            "No message",
        ),
        Query(
            f"sum by (level) ({once(rate(of_exporter('campaign_exporter_log_messages_total')))}) * 60",
            "{{level}}",
        ),
        unit="suffix: /min",
        colour=fixed(palette.AT_REST),
        colours={
            "info": palette.PACE,
            "warning": palette.WARNING,
            "error": palette.BAD,
            "critical": palette.BAD,
        },
    )


def _instances() -> table.Panel:
    def of_instance(vector: str, *labels: str) -> str:
        return f"max by ({', '.join(('cluster', 'job', 'instance', *labels))}) ({vector})"

    return grid(
        About(
            "Instances",
            "Which instances there are, and whether each of them answers.",
            "Instances of one shard must have the same configuration hash.",
            "No instance",
        ),
        [
            Query(of_instance(of_exporter("up")), name="Up"),
            Query(of_instance(of_exporter("campaign_exporter_build_info"), "version"), name="Version"),
            Query(of_instance(of_exporter("campaign_exporter_shard_index")), name="Shard"),
            Query(of_instance(of_exporter("campaign_exporter_config_hash")), name="Hash"),
            Query(of_instance(of_exporter("process_resident_memory_bytes")), name="Memory"),
        ],
        [
            Column("Answers", "Up", words_cell({"1": ("up", palette.GOOD), "0": ("down", palette.BAD)}, 100)),
            Column("Instance", "instance", {}),
            Column("Job", "job", {}),
            Column("Version", "version", {}),
            Column("Shard", "Shard", {"unit": "none"}),
            Column("Configuration hash", "Hash", {"unit": "none", "decimals": 0}),
            Column("Memory held", "Memory", {"unit": "bytes"}),
        ],
        sort_by="Answers",
        height=5,
    )
