"""The wall: all campaigns at a glance, and what needs a person."""

from grafana_foundation_sdk.builders import stat, table
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana import palette, queries, states, thresholds
from grafana.alerts import firing_alerts
from grafana.panels import About, Column, Query, by_name, by_threshold, chart, counted, figure, fixed, grid, words_cell
from grafana.panels import thresholds as steps
from grafana.queries import of_campaign, of_exporter, once, per_campaign
from grafana.shell import Row, assembled

UID = "campaign-exporter-campaigns"

_ACCOUNT = "cluster, provider, account"
_DETAIL_URL = (
    "/d/campaign-exporter-campaign?${__url_time_range}&${datasource:queryparam}&${job:queryparam}&${instance:queryparam}"
    "&${cluster:queryparam}&var-provider=${__data.fields.Provider:percentencode}"
    "&var-account=${__data.fields.Account:percentencode}&var-campaign=${__data.fields.Id:percentencode}"
)
_BAR = {
    "unit": "percentunit",
    "decimals": 0,
    "min": 0,
    "max": 1,
    "custom.cellOptions": {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"},
}
_LOST_STEPS = {
    "mode": "absolute",
    "steps": [
        {"color": palette.AT_REST, "value": None},
        {"color": palette.WARNING, "value": thresholds.FAILED_SHARE},
        {"color": palette.BAD, "value": thresholds.EXHAUSTED_SHARE},
    ],
}


def build() -> Dashboard:
    """The dashboard as Grafana reads it."""
    return assembled(
        UID,
        "All calling campaigns at a glance, and what needs a person.",
        _tiles(),
        _alerts_and_accounts(),
        [_all_campaigns()],
        _pace_and_use(),
        _outcomes(),
        single=False,
    )


def _tiles() -> Row:
    return [
        _exporter_up(),
        _count(
            "Failing", "How many campaigns could not be polled the last time.", palette.BAD,
            f"count({once(of_campaign('campaign_up'))} == 0) or count({once(of_campaign('campaign_up'))}) * 0",
        ),
        _count("Stalled", "How many campaigns should dial and do not.", palette.BAD, states.number_in("stalled")),
        _count(
            "Never dials", "How many active campaigns have no calling window.", palette.WARNING,
            states.number_in("never_dials"),
        ),
        _count(
            "Saturated", "How many organizations use up their cap while contacts wait.", palette.WARNING,
            f"count({queries.UTILIZATION} > {thresholds.SATURATED_SHARE:g} and {queries.CONTACTS_WAITING} > 0)"
            f" or count({once(of_campaign('campaign_state'))}) * 0",
        ),
        _count(
            "Drained", "How many active campaigns are worked through.", palette.WAITING, states.number_in("drained")
        ),
        figure(
            About("Dialing", "How many campaigns dial now.", "Campaigns in the state dialing.", "No data"),
            Query(states.number_in("dialing")),
            colour=fixed(palette.PACE),
            width=3,
            height=3,
        ),
        figure(
            About("Attempts", "How many calls begin in a minute.", "Anyreach's attempts and OSVI's calls.", "No data"),
            Query(f"sum({queries.ATTEMPTS_RATE}) * 60", min_step="75s"),
            unit="suffix: /min",
            decimals=1,
            colour=fixed(palette.PACE),
            width=3,
            height=3,
        ),
    ]  # fmt: skip


def _exporter_up() -> stat.Panel:
    return figure(
        About(
            "Exporter",
            "Whether the exporter answers Prometheus.",
            "Down when one of the chosen targets has no instance that answers: then nothing else here is current.",
            "No data",
        ),
        Query(f"min(max without (instance, pod) ({of_exporter('up')}))"),
        colour=fixed(palette.AT_REST),
        words={"1": ("up", palette.GOOD), "0": ("down", palette.BAD)},
        width=3,
        height=3,
        filled=True,
    )


def _count(title: str, purpose: str, colour: str, expr: str) -> stat.Panel:
    return figure(
        About(title, purpose, "Green is none, grey is no data; the table below says which ones.", "No data"),
        Query(expr),
        colour=by_threshold(),
        steps=counted(colour),
        width=3,
        height=3,
        filled=True,
    )


def _alerts_and_accounts() -> Row:
    return [firing_alerts(width=14, height=8), _accounts()]


def _accounts() -> table.Panel:
    use = _BAR | {
        "color": {"mode": "thresholds"},
        "thresholds": {
            "mode": "absolute",
            "steps": [
                {"color": palette.IN_FLIGHT, "value": None},
                {"color": palette.WARNING, "value": thresholds.SATURATED_SHARE},
            ],
        },
    }
    return grid(
        About(
            "Calls against the cap",
            "How close each organization is to its limit of calls at once.",
            "Anyreach only. Used is the average of ten minutes, an estimate from below: calls outside the watched"
            " campaigns are not seen. Waiting are pending contacts of active campaigns.",
            "No account with a cap",
        ),
        [
            Query(f"max by ({_ACCOUNT}) ({queries.ACCOUNT_CALLS})", name="Calls"),
            Query(f"max by ({_ACCOUNT}) ({queries.ACCOUNT_LIMIT})", name="Cap"),
            Query(f"max by ({_ACCOUNT}) ({queries.UTILIZATION})", name="Used"),
            Query(f"max by ({_ACCOUNT}) ({queries.CONTACTS_WAITING})", name="Waiting"),
        ],
        [
            Column("Account", "account", {"custom.minWidth": 130}),
            Column("Used", "Used", use | {"custom.width": 150}),
            Column("Calls", "Calls", {"unit": "none", "custom.width": 65}),
            Column("Cap", "Cap", {"unit": "none", "custom.width": 60}),
            Column("Waiting", "Waiting", {"unit": "short", "custom.width": 80}),
        ],
        sort_by="Used",
        descending=True,
        width=10,
        height=8,
        hide=("provider",),
    )


def _all_campaigns() -> table.Panel:
    return grid(
        About(
            "All campaigns",
            "Every campaign by its state, the most urgent first; a click on its name leads to the details.",
            "Silent is the time without progress while dialing is expected. Finish goes by the net fall of the contacts"
            " over the last hour. Lost is the share of failed calls (OSVI) or exhausted contacts (Anyreach).",
            "No campaign",
        ),
        _campaign_queries(),
        _campaign_columns(),
        sort_by="State",
        descending=True,
        height=25,
    )


def _campaign_queries() -> list[Query]:
    return [
        Query(states.WEIGHT, name="State"),
        Query(queries.newest_label(once(of_campaign("campaign_info")), "campaign_name"), name="Name"),
        Query(queries.REASON, name="Why"),
        Query(per_campaign(queries.SILENCE), name="Silence"),
        Query(per_campaign(queries.PROGRESS), name="Progress"),
        Query(per_campaign(f"{queries.EXPECTED_FINISH} * 1000"), name="Finish"),
        Query(per_campaign(f"{queries.ATTEMPTS_RATE} * 60"), name="Pace", min_step="75s"),
        Query(per_campaign(queries.LOST_SHARE), name="Lost", min_step=thresholds.FAILED_MIN_STEP),
        Query(per_campaign(queries.DATA_AGE), name="Age"),
    ]


def _campaign_columns() -> list[Column]:
    link = {"title": "Details of this campaign", "url": _DETAIL_URL, "targetBlank": False}
    lost = {"color": {"mode": "thresholds"}, "thresholds": _LOST_STEPS, "custom.cellOptions": {"type": "color-text"}}
    return [
        Column("State", "State", words_cell(states.WORDS, 120)),
        Column("Campaign", "campaign_name", {"links": [link], "custom.width": 185}),
        Column("Account", "account", {"custom.width": 145}),
        Column("Why", "reason", {"custom.width": 105}),
        Column("Silent", "Silence", {"unit": "s", "decimals": 0, "custom.width": 75}),
        Column(
            "Progress",
            "Progress",
            _BAR | {"color": {"mode": "fixed", "fixedColor": palette.PACE}, "custom.width": 130},
        ),
        Column("Finish", "Finish", {"unit": "dateTimeFromNow", "custom.width": 100}),
        Column("Per min", "Pace", {"unit": "none", "decimals": 1, "custom.width": 75}),
        Column("Lost", "Lost", {"unit": "percentunit", "decimals": 0, "custom.width": 65} | lost),
        Column("Data age", "Age", {"unit": "s", "decimals": 0, "custom.width": 85}),
        Column("Provider", "provider", {"custom.width": 85}),
        Column("Id", "campaign", {"links": [link], "custom.minWidth": 110}),
    ]


def _pace_and_use() -> Row:
    return [
        chart(
            About(
                "Dialing rate by account",
                "How fast each account dials.",
                "Attempts (Anyreach) or calls (OSVI) begun in a minute. Single campaigns are in the table.",
                "No campaign",
            ),
            Query(f"sum by ({_ACCOUNT}) ({queries.ATTEMPTS_RATE}) * 60", "{{account}}", min_step="150s"),
            unit="suffix: /min",
            colour=by_name(),
        ),
        chart(
            About(
                "Use of the cap by account",
                "Which share of its calls at once each organization uses.",
                "Anyreach only; average of ten minutes. The line is where the alert on saturation starts.",
                "No account with a cap",
            ),
            Query(queries.UTILIZATION, "{{account}}", min_step="150s"),
            unit="percentunit",
            colour=by_name(),
            steps=steps((thresholds.SATURATED_SHARE, palette.WARNING)),
        ),
    ]


def _outcomes() -> Row:
    return [
        chart(
            About(
                "Answer rate",
                "Which share of its calls each OSVI campaign gets answered.",
                "Picked calls over all calls that ended within an hour; picked means answered, not successful."
                " Anyreach does not say.",
                "No OSVI call",
            ),
            Query(queries.ANSWERED_SHARE, "{{campaign}}", min_step=thresholds.FAILED_MIN_STEP),
            unit="percentunit",
            colour=by_name(),
            maximum=1,
        ),
        chart(
            About(
                "Answer rate by hour of day",
                "Whether people answer as they did at this hour yesterday and a week ago.",
                "OSVI only, all chosen campaigns together: the last 24 hours, an hour at a time, with the same hours"
                " of the day and the week before laid over them.",
                "No OSVI call",
            ),
            *(
                Query(queries.answered(offset), legend, name, min_step=thresholds.FAILED_MIN_STEP)
                for offset, legend, name in (
                    ("", "today", "Today"),
                    (" offset 1d", "a day before", "Day"),
                    (" offset 1w", "a week before", "Week"),
                )
            ),
            unit="percentunit",
            colour=fixed(palette.AT_REST),
            colours={"today": palette.PACE, "a day before": palette.WARNING, "a week before": palette.AT_REST},
            maximum=1,
            span="24h",
        ),
    ]
