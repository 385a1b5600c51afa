"""What the process costs, and what it has to say."""

from grafana_foundation_sdk.builders import timeseries

from grafana import palette, queries
from grafana.panels import About, Query, chart, fixed
from grafana.queries import lately, of_exporter, of_process, once, quantile
from grafana.shell import Row


def cost() -> Row:
    """What Prometheus and the machine pay for it."""
    return [_cost_of_a_scrape(), _memory(), _processor()]


def messages() -> Row:
    """What it has to say."""
    return [_log_messages(), _label_overflow()]


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
        colour=fixed(palette.AT_REST),
        colours={"median": palette.PACE, "p99": palette.WARNING},
        least_top=0.01,
        width=8,
    )


def _memory() -> timeseries.Panel:
    return chart(
        About(
            "Memory",
            "How much memory the process holds.",
            "The largest of the chosen instances; choose one above to see it alone.",
            "No instance",
        ),
        Query(once(of_process("process_resident_memory_bytes")), "resident"),
        unit="bytes",
        colour=fixed(palette.PACE),
        width=8,
    )


def _processor() -> timeseries.Panel:
    return chart(
        About(
            "Processor",
            "How much of one core the process uses.",
            "The busiest of the chosen instances; 100 % is one whole core.",
            "No instance",
        ),
        Query(once(queries.BUSY), "busy"),
        unit="percentunit",
        colour=fixed(palette.PACE),
        least_top=0.1,
        width=8,
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
            f"sum by (level) ({lately(of_exporter('campaign_exporter_log_messages_total'))}) * 60",
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


def _label_overflow() -> timeseries.Panel:
    return chart(
        About(
            "Label overflow",
            "Whether a provider invents more statuses, buckets or agents than get labels of their own.",
            "Values counted under the label value other, in an hour, since their family has 50 already. 0 is well.",
            "No instance",
        ),
        Query(f"sum({lately(of_exporter('campaign_exporter_label_overflow_total'))}) * 3600", "values an hour"),
        unit="none",
        colour=fixed(palette.WARNING),
    )
