"""How the polls go: their results, their pace and what holds them back."""

from grafana_foundation_sdk.builders import timeseries

from grafana import palette, queries, thresholds
from grafana.panels import About, Query, by_name, chart, fixed
from grafana.panels import thresholds as steps
from grafana.queries import lately, of_account, of_campaign, of_exporter, once, quantile
from grafana.shell import Row

_IN_FLIGHT = of_account("campaign_exporter_requests_in_flight")


def results() -> Row:
    """What fails, and why."""
    return [_polls_by_result(), _failing_campaigns_by_reason()]


def punctuality() -> Row:
    """Whether polls start when they are due, and how soon they are answered."""
    return [_lag_of_polls(), _request_latency()]


def budget() -> Row:
    """Whether the accounts' requests a second carry their campaigns."""
    return [_stretch_of_intervals(), _throttling()]


def freshness() -> Row:
    """How old the numbers are, and how many are under way."""
    return [_freshness(), _requests_in_flight()]


def _polls_by_result() -> timeseries.Panel:
    return chart(
        About(
            "Polls by result",
            "How many polls succeed and why others fail.",
            "Polls a second. A reason is drawn only while it occurs, so there is none while all polls succeed.",
            "No poll",
        ),
        Query(
            "sum(" + lately(of_account("campaign_exporter_polls_total", 'result="success"')) + ")",
            "success",
            "Success",
        ),
        Query(
            "sum by (result) (" + lately(of_account("campaign_exporter_polls_total", 'result!="success"')) + ") > 0",
            "{{result}}",
            "Failure",
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
            "From the first packet to the last byte: half of all requests are faster than the median, one in a"
            " hundred of an account's is slower than its p99.",
            "No request",
        ),
        Query(
            quantile(0.5, of_account("campaign_exporter_request_duration_seconds_bucket")),
            "median of all",
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
        least_top=0.1,
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
        colour=fixed(palette.AT_REST),
        colours={"median": palette.PACE, "p95": palette.WARNING},
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
        Query(lately(of_account("campaign_exporter_throttled_seconds_total")), "{{account}}"),
        unit="percentunit",
        colour=by_name(),
        least_top=0.1,
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
        ),
        unit="percentunit",
        colour=by_name(),
    )


def _freshness() -> timeseries.Panel:
    return chart(
        About(
            "Freshness",
            "How old the oldest data of each account are.",
            "Time since the last successful poll, largest of the account's campaigns; closed ones are left out.",
            "No poll yet",
        ),
        Query(queries.per_account(queries.OPEN_DATA_AGE), "{{account}}"),
        unit="s",
        colour=by_name(),
    )


def _requests_in_flight() -> timeseries.Panel:
    return chart(
        About(
            "Requests in flight",
            "How many requests are under way.",
            "By account, on average.",
            "No account",
        ),
        Query(once(f"avg_over_time({_IN_FLIGHT}[$__rate_interval])"), "{{account}}"),
        unit="none",
        colour=by_name(),
    )
