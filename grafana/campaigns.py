"""The wall: all campaigns at a glance, and what needs a person."""

from grafana_foundation_sdk.builders import stat, table
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana import palette, queries, states, thresholds
from grafana.alerts import firing_alerts
from grafana.panels import SMOOTH_POINTS, About, Query, by_name, chart, counted, figure, fixed
from grafana.panels import thresholds as steps
from grafana.queries import (
    answered_share,
    lately,
    lost_share,
    of_account,
    of_campaign,
    once,
    over_an_hour,
    per_account,
    per_campaign,
)
from grafana.shell import Row, assembled, exporter_up
from grafana.tables import Column, Properties, bar, grid, linked, number, stepped, text, words_cell

UID = "campaign-exporter-campaigns"

_DETAIL_URL = (
    "/d/campaign-exporter-campaign?${__url_time_range}&${datasource:queryparam}&${job:queryparam}&${instance:queryparam}"
    "&${cluster:queryparam}&var-provider=${__data.fields.Provider:percentencode}"
    "&var-account=${__data.fields.Account:percentencode}&var-campaign=${__data.fields.Id:percentencode}"
)


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
        _answers(),
        single=False,
    )


def _tiles() -> Row:
    return [exporter_up(), *_not_well(), *_at_work()]


def _not_well() -> Row:
    return [
        _count("Failing", "How many campaigns can't be polled.", palette.BAD, states.number_in("failing")),
        _count("Stalled", "How many campaigns should dial and do not.", palette.BAD, states.number_in("stalled")),
        _count(
            "Never dials",
            "How many active campaigns have no calling window.",
            palette.WARNING,
            states.number_in("never_dials"),
        ),
        _count(
            "Saturated",
            "How many organizations use up their concurrency limit while contacts wait.",
            palette.WARNING,
            f"count({queries.UTILIZATION} > {thresholds.SATURATED_SHARE:g} and {queries.CONTACTS_WAITING} > 0)"
            f" or count({once(of_campaign('campaign_state'))}) * 0",
        ),
        _count(
            "Drained", "How many active campaigns are worked through.", palette.WAITING, states.number_in("drained")
        ),
    ]


def _at_work() -> Row:
    return [
        figure(
            About("Dialing", "How many campaigns dial now.", "Campaigns in the state dialing.", "No campaign"),
            Query(states.number_in("dialing")),
        ),
        figure(
            About("Calls", "How many calls begin in a minute.", "Anyreach's attempts and OSVI's calls.", "No campaign"),
            Query(f"sum({queries.ATTEMPTS_RATE}) * 60", min_step="75s"),
            unit="suffix: /min",
            decimals=1,
        ),
    ]


def _count(title: str, purpose: str, colour: str, expr: str) -> stat.Panel:
    return figure(
        About(title, purpose, "Green is none, grey is no data; the table below says which ones.", "No campaign"),
        Query(expr),
        steps=counted(colour),
    )


def _alerts_and_accounts() -> Row:
    return [firing_alerts(width=15, height=9), _accounts()]


def _accounts() -> table.Panel:
    refused = f"{queries.of_chosen(once(of_account('campaign_exporter_breaker_open')))} * 2 > 0"
    failing = per_account(f"1 - {once(of_campaign('campaign_up'))}")
    polls = {"2": ("refused", palette.BAD), "1": ("some fail", palette.WARNING), "0": ("ok", palette.GOOD)}
    return grid(
        About(
            "Accounts",
            "Which accounts are refused, and how close each organization is to its limit of calls at once.",
            "Only Anyreach has a limit. Used is the average of ten minutes, an estimate from below: calls outside the"
            " watched campaigns are not seen. Waiting are pending contacts of active campaigns.",
            "No account: is the exporter up?",
        ),
        [
            Query(per_account(f"{per_account(refused)} or {failing}"), name="Polls"),
            Query(per_account(queries.UTILIZATION), name="Used"),
            Query(per_account(queries.ACCOUNT_LIMIT), name="Limit"),
            Query(per_account(queries.CONTACTS_WAITING), name="Waiting"),
        ],
        [
            Column("Account", "account", text()),
            Column("Polls", "Polls", words_cell(polls, 82)),
            Column("Used", "Used", stepped(bar(115), (thresholds.SATURATED_SHARE, palette.WARNING), base=palette.PACE)),
            Column("Limit", "Limit", number("none", 50)),
            Column("Waiting", "Waiting", number("short", 70)),
        ],
        sort_by={"Polls": True, "Used": True},
        width=9,
        height=9,
        hide=("provider",),
    )


def _all_campaigns() -> table.Panel:
    return grid(
        About(
            "All campaigns",
            "Every campaign by its state, the most urgent first; a click on its name leads to the details.",
            "Silent is the time without progress while dialing is expected. Finish goes by the net fall of the contacts"
            " over the last hour: refilled means that as many arrive as end. Lost is the share of failed calls (OSVI)"
            " or exhausted contacts (Anyreach) within an hour.",
            "No campaign: is the exporter up?",
        ),
        _campaign_queries(),
        _campaign_columns(),
        sort_by={"State": True, "Campaign": False},
        height=25,
        hide=("cluster",),
    )


def _campaign_queries() -> list[Query]:
    # What is remembered over an hour would otherwise make a row of a campaign that is gone.
    known = f"and on ({', '.join(queries.KEY)}) {once(of_campaign('campaign_state'))}"
    return [
        Query(states.WEIGHT, name="State"),
        Query(queries.SHOWN_NAME, name="Name"),
        Query(states.WHY, name="Why"),
        Query(per_campaign(queries.SILENCE), name="Silence"),
        Query(per_campaign(queries.PROGRESS), name="Progress"),
        Query(per_campaign(queries.EXPECTED_FINISH), name="Finish", min_step="15m"),
        Query(per_campaign(f"{queries.ATTEMPTS_RATE} * 60 {known}"), name="Pace", min_step="75s"),
        Query(per_campaign(f"{lost_share(lately)} {known}"), name="Lost", min_step=thresholds.FAILED_MIN_STEP),
        Query(per_campaign(queries.DATA_AGE), name="Age"),
    ]


def _campaign_columns() -> list[Column]:
    def link(look: Properties) -> Properties:
        return linked(look, "Details of this campaign", _DETAIL_URL)

    lost = number("percentunit", 60, decimals=0)
    return [
        Column("State", "State", words_cell(states.WORDS, 115)),
        Column("Campaign", "name", link(text())),
        Column("Account", "account", text(145)),
        Column("Why", "why", text()),
        Column("Silent", "Silence", number("s", 75, decimals=0)),
        Column("Progress", "Progress", bar(130)),
        Column("Finish", "Finish", number("dateTimeFromNow", 105, words=queries.FINISH_WORDS)),
        Column("Calls/min", "Pace", number("none", 80, decimals=1)),
        Column(
            "Lost",
            "Lost",
            stepped(lost, (thresholds.FAILED_SHARE, palette.WARNING), (thresholds.EXHAUSTED_SHARE, palette.BAD)),
        ),
        Column("Data age", "Age", number("s", 80, decimals=0)),
        Column("Provider", "provider", text(85)),
        # Only the links need it: the page of a campaign shows it.
        Column("Id", "campaign", link({"custom.hidden": True})),
    ]


def _pace_and_use() -> Row:
    return [
        chart(
            About(
                "Calls by account",
                "How fast each account dials.",
                "Attempts (Anyreach) or calls (OSVI) begun in a minute. Single campaigns are in the table.",
                "No campaign",
            ),
            Query(f"sum by ({', '.join(queries.ACCOUNT_KEY)}) ({queries.ATTEMPTS_RATE}) * 60", "{{account}}"),
            unit="suffix: /min",
            colour=by_name(),
            points=SMOOTH_POINTS,
        ),
        chart(
            About(
                "Use of the limit by account",
                "Which share of its calls at once each organization uses.",
                "Anyreach only; average of ten minutes. The line is where the alert on saturation starts.",
                "No account with a limit",
            ),
            Query(queries.UTILIZATION, "{{account}}"),
            unit="percentunit",
            colour=by_name(),
            steps=steps((thresholds.SATURATED_SHARE, palette.WARNING)),
        ),
    ]


def _outcomes() -> Row:
    return [
        chart(
            About(title, purpose, detail, empty),
            Query(queries.shares(metric, label), f"{{{{{label}}}}}"),
            unit="percentunit",
            colour=fixed(palette.AT_REST),
            colours={name: palette.BY_STATE[name] for name in names},
            stacked=True,
            maximum=1,
        )
        for title, purpose, detail, empty, metric, label, names in (
            (
                "How contacts end",
                "Which share of Anyreach's contacts is completed, and which runs out of attempts.",
                "Within an hour, all chosen campaigns together. Completed is not success.",
                "No contact of Anyreach ended within an hour",
                "campaign_observed_contacts_total",
                "bucket",
                ("completed", "exhausted"),
            ),
            (
                "How calls end",
                "Which share of OSVI's calls ends in which way.",
                "Within an hour, all chosen campaigns together. Picked means answered, not successful.",
                "No call of OSVI ended within an hour",
                "campaign_observed_calls_total",
                "status",
                ("picked", "not_picked", "busy", "voicemail", "failed"),
            ),
        )
    ]


def _answers() -> Row:
    days = (("", "today", "Today"), (" offset 1d", "a day before", "Day"), (" offset 1w", "a week before", "Week"))
    return [
        chart(
            About(
                "Answer rate",
                "Which share of its calls each OSVI campaign gets answered.",
                "Picked calls over all calls that ended within an hour; picked means answered, not successful."
                " Anyreach does not say.",
                "No call of OSVI ended within an hour",
            ),
            Query(answered_share(over_an_hour), "{{campaign}}"),
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
                "No call of OSVI ended within a day",
            ),
            *(Query(queries.answered(offset), legend, name) for offset, legend, name in days),
            unit="percentunit",
            colour=fixed(palette.AT_REST),
            colours={"today": palette.PACE, "a day before": palette.WARNING, "a week before": palette.AT_REST},
            maximum=1,
            span="24h",
        ),
    ]
