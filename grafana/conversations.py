"""What single attempts tell about a campaign: how long calls last, and how they were judged. Needs `attempts`."""

from grafana_foundation_sdk.builders import table, timeseries

from grafana import palette
from grafana.panels import About, Query, by_name, chart, fixed, heat_map
from grafana.queries import of_campaign, once, over_an_hour, quantile, rate
from grafana.shell import Row
from grafana.tables import Column, bar, grid, number, text

_NOT_READ = "No attempt was read: attempts is off, or none ended"
_ONLY_ANYREACH = "Only Anyreach says it, with attempts on"
_BUCKETS = of_campaign("campaign_call_duration_seconds_bucket")
_OUTCOMES = ("true", "false", "abstain", "na", "other")


def durations() -> Row:
    """How long calls last."""
    return [
        chart(
            About(
                "Call duration",
                "How long calls last.",
                "Half of the calls are shorter than the median, one in twenty is longer than p95. Points are single"
                " calls (exemplars). Anyreach's include ringing.",
                _NOT_READ,
            ),
            Query(quantile(0.5, _BUCKETS), "median", "Median", min_step="5m", exemplars=True),
            Query(quantile(0.95, _BUCKETS), "p95", "P95", min_step="5m"),
            unit="s",
            colour=fixed(palette.AT_REST),
            colours={"median": palette.PACE, "p95": palette.WARNING},
        ),
        heat_map(
            About(
                "Call durations",
                "Which durations are frequent: many short calls are answering machines or people who hang up.",
                "Calls that ended, by duration. Points are single calls (exemplars).",
                _NOT_READ,
            ),
            Query(f"sum by (le) ({once(rate(_BUCKETS))}) * 3600", min_step="5m", exemplars=True),
            unit="s",
        ),
    ]


def judged() -> Row:
    """How calls ended and how conversations were judged."""
    return [_verdicts(), _evaluated()]


def _verdicts() -> table.Panel:
    def counted(vector: str, label: str) -> str:
        named = f'label_replace({vector}, "what", "$1", "{label}", "(.+)")'
        return f"sum by (cluster, provider, account, campaign, what) ({named})"

    def verdicts(outcome: str) -> str:
        return counted(once(of_campaign("campaign_outcomes", f'outcome="{outcome}"')), "criterion")

    headings = [("N/a" if name == "na" else name.capitalize(), name.capitalize()) for name in _OUTCOMES]
    tags = counted(over_an_hour(of_campaign("campaign_call_tags_total")), "tag")
    return grid(
        About(
            "Criteria and tags",
            "How conversations were judged.",
            "Verdicts of all attempts of the contacts now in the campaign (Anyreach), tags of the calls that ended"
            " within an hour (OSVI). The bar is the share of true among true and false.",
            _NOT_READ,
        ),
        [
            Query(f"{verdicts('true')} / ({verdicts('true')} + {verdicts('false')} > 0)", name="Share"),
            *(Query(verdicts(name), name=name.capitalize()) for name in _OUTCOMES),
            Query(f"{tags} * 3600", name="Tags"),
        ],
        [
            Column("Criterion or tag", "what", text()),
            Column("True share", "Share", bar(110)),
            *(Column(heading, query, number("short", 78)) for heading, query in headings),
            Column("Calls/h", "Tags", number("none", 70, decimals=1)),
        ],
        sort_by={"Criterion or tag": False},
        width=14,
        height=7,
        hide=("provider", "account", "campaign"),
    )


def _evaluated() -> timeseries.Panel:
    def share(part: str) -> str:
        return f"sum({once(of_campaign(part))}) / (sum({conversations}) > 0)"

    conversations = once(of_campaign("campaign_attempts_with_conversation"))
    return chart(
        About(
            "Evaluated",
            "Which share of the conversations has a result.",
            "Anyreach only, of all contacts now in the campaign.",
            _ONLY_ANYREACH,
        ),
        Query(share("campaign_attempts_evaluated"), "evaluated"),
        unit="percentunit",
        colour=fixed(palette.PACE),
        maximum=1,
        width=10,
        height=7,
    )


def by_attempts() -> timeseries.Panel:
    """How often contacts were called."""
    return chart(
        About(
            "Contacts by attempts",
            "How many attempts contacts have needed.",
            "Anyreach only; 0 is the contacts that nobody has called.",
            _ONLY_ANYREACH,
        ),
        Query(f"sum by (attempts) ({once(of_campaign('campaign_contacts_by_attempts'))}) > 0", "{{attempts}} attempts"),
        unit="short",
        colour=by_name(),
        stacked=True,
        height=7,
    )
