"""One campaign in depth: what is wrong with it and what to do, then its work, its calls and its settings."""

from grafana_foundation_sdk.builders import table, timeseries
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana import palette, queries, states, thresholds
from grafana.alerts import firing_alerts
from grafana.panels import About, Column, Query, by_name, chart, figure, fixed, grid, timeline, words_cell
from grafana.panels import thresholds as steps
from grafana.queries import of_campaign, once, per_campaign, quantile, rate
from grafana.shell import Row, assembled

UID = "campaign-exporter-campaign"

_YES_NO = {"1": ("yes", palette.GOOD), "0": ("no", palette.AT_REST)}
_OPEN = {"1": ("open", palette.GOOD), "0": ("closed", palette.AT_REST)}


def build() -> Dashboard:
    """The dashboard as Grafana reads it."""
    return assembled(
        UID,
        "One calling campaign in depth. Choose it above, or come from the table of all campaigns.",
        [_header()],
        [firing_alerts(width=12, height=6), *_figures()],
        _work(),
        _pace(),
        _hours(),
        _attempts(),
        _verdicts(),
        _queues_and_retries(),
        single=True,
    )


def _header() -> table.Panel:
    status = queries.newest_label(f"{once(of_campaign('campaign_status'))} == 1", "status")
    return grid(
        About(
            "This campaign",
            "Which campaign this is, where it stands, why, and what to do.",
            "There as soon as the exporter knows the campaign, also when its provider sends nothing.",
            "Choose a campaign above",
        ),
        [
            Query(states.WEIGHT, name="State"),
            Query(states.WEIGHT, name="Advice"),
            Query(queries.newest_label(once(of_campaign("campaign_info")), "campaign_name"), name="Name"),
            Query(queries.REASON, name="Why"),
            Query(status, name="Status"),
            Query(per_campaign(queries.DATA_AGE), name="Age"),
        ],
        [
            Column("State", "State", words_cell(states.WORDS, 125)),
            Column("What to do", "Advice", words_cell(states.ADVICE, 350, ground=False)),
            Column("Why", "reason", {"custom.width": 105}),
            Column("Name", "campaign_name", {"custom.minWidth": 150}),
            Column("Id", "campaign", {"custom.minWidth": 150}),
            Column("Account", "account", {"custom.width": 140}),
            Column("Provider", "provider", {"custom.width": 85}),
            Column("Status", "status", {"custom.width": 80}),
            Column("Data age", "Age", {"unit": "s", "decimals": 0, "custom.width": 85}),
        ],
        sort_by="State",
        descending=True,
        height=4,
    )


def _figures() -> Row:
    return [
        figure(
            About("Progress", "Which share of the work is done.", "Final contacts or completed queues.", "No data"),
            Query(queries.PROGRESS, " "),
            unit="percentunit",
            decimals=0,
            colour=fixed(palette.PACE),
            height=6,
        ),
        figure(
            About(
                "Expected finish",
                "When no contact will be left.",
                "At the net fall of the last hour: contacts that arrive count. None while contacts do not fall,"
                " outside the hours, and for OSVI, which does not say what is left.",
                "None in sight",
            ),
            Query(f"{queries.EXPECTED_FINISH} * 1000", " "),
            unit="dateTimeFromNow",
            colour=fixed(palette.PACE),
            height=6,
        ),
        figure(
            About(
                "Silent for",
                "How long nothing has moved although dialing is expected.",
                "Past the campaign's own limit its state is stalled.",
                "Not expected",
            ),
            Query(queries.SILENCE, " "),
            unit="s",
            decimals=0,
            colour=fixed(palette.PACE),
            height=6,
        ),
    ]


def _work() -> Row:
    return [
        chart(
            About(
                "Work left",
                "How fast the work is used up.",
                "Contacts that wait or are being called (Anyreach), contacts in open queues (OSVI).",
                "No data",
            ),
            Query(f"sum({queries.CONTACTS_OR_QUEUED_LEFT})", "left", min_step="60s"),
            unit="short",
            colour=fixed(palette.PACE),
        ),
        chart(
            About(
                "Outcomes per hour",
                "How contacts (Anyreach) or calls (OSVI) ended.",
                "In an hour, averaged over ten minutes and more. Completed and picked are not success.",
                "No data",
            ),
            Query(_per_hour("campaign_observed_contacts_total", "bucket"), "{{bucket}}", "Contacts", min_step="150s"),
            Query(_per_hour("campaign_observed_calls_total", "status"), "{{status}}", "Calls", min_step="150s"),
            unit="short",
            colour=fixed(palette.AT_REST),
            colours={
                name: colour for name, colour in palette.BY_STATE.items() if name not in {"pending", "in_progress"}
            },
            stacked=True,
        ),
    ]


def _per_hour(metric: str, label: str) -> str:
    return f"sum by ({label}) ({once(rate(of_campaign(metric)))}) * 3600"


def _pace() -> Row:
    lost = Query(f"sum without (status, bucket) ({queries.LOST_SHARE})", "lost", min_step=thresholds.FAILED_MIN_STEP)
    average = (
        f"sum({once(rate(of_campaign('campaign_active_call_seconds_total')))}"
        f" / ({once(rate(of_campaign('campaign_observed_seconds_total')))} > 0))"
    )
    return [
        chart(
            About("Attempts", "How fast the campaign dials.", "Attempts or calls begun in a minute.", "No data"),
            Query(f"sum({queries.ATTEMPTS_RATE}) * 60", "attempts", min_step="150s"),
            unit="suffix: /min",
            colour=fixed(palette.PACE),
            width=8,
        ),
        chart(
            About(
                "Calls against the cap",
                "Whether the organization's cap holds the campaign back.",
                "Anyreach only. The campaign's average of calls at once; the account's is an estimate from below.",
                "The provider sends no cap",
            ),
            Query(average, "campaign", "Campaign", min_step="150s"),
            Query(f"sum({queries.UTILIZATION} * {queries.ACCOUNT_LIMIT})", "account", "Account", min_step="150s"),
            Query(f"sum({queries.ACCOUNT_LIMIT})", "cap", "Cap", min_step="150s"),
            unit="none",
            colour=fixed(palette.AT_REST),
            colours={"campaign": palette.IN_FLIGHT, "account": palette.PACE, "cap": palette.SET_BY_PEOPLE},
            width=8,
        ),
        chart(
            About(
                "Lost share",
                "Which share of calls failed (OSVI) or of contacts ran out of attempts (Anyreach).",
                "An hour at a time. The line is where the alert on OSVI's failures starts.",
                "Nothing ended",
            ),
            lost,
            unit="percentunit",
            colour=fixed(palette.BAD),
            steps=steps((thresholds.FAILED_SHARE, palette.WARNING)),
            maximum=1,
            width=8,
        ),
    ]


def _hours() -> Row:
    expected = once(of_campaign("campaign_dialing_expected"))
    return [
        timeline(
            About(
                "Calling windows",
                "When the campaign may call, by timezone.",
                "From the campaign's configuration or from calling_hours in the exporter's.",
                "Windows unknown",
            ),
            Query(once(of_campaign("campaign_calling_window_open")), "{{timezone}}", min_step="60s"),
            words=_OPEN,
            height=6,
        ),
        timeline(
            About(
                "Should it dial",
                "When dialing was expected, and whether work was left.",
                "Both must be on for silence to be a sign.",
                "Not known",
            ),
            Query(f"max({expected})", "expected", "Expected", min_step="60s"),
            Query(f"max({once(of_campaign('campaign_work_remaining'))})", "work left", "Work", min_step="60s"),
            words=_YES_NO,
            height=6,
        ),
    ]


def _attempts() -> Row:
    buckets = of_campaign("campaign_call_duration_seconds_bucket")
    return [
        chart(
            About(
                "Contacts by attempts",
                "How many attempts contacts have needed.",
                "Anyreach with attempts only; none is the contacts that nobody has called.",
                "Attempts are not read",
            ),
            Query(
                f"sum by (attempts) ({once(of_campaign('campaign_contacts_by_attempts'))}) > 0", "{{attempts}} attempts"
            ),
            unit="short",
            colour=by_name(),
            stacked=True,
        ),
        _durations(buckets),
    ]


def _durations(buckets: str) -> timeseries.Panel:
    return chart(
        About(
            "Call duration",
            "How long calls last.",
            "With attempts only: half of the calls are shorter than the median, one in twenty is longer than p95."
            " Points are single calls (exemplars).",
            "Attempts are not read",
        ),
        Query(quantile(0.5, buckets), "median", "Median", min_step="5m", exemplars=True),
        Query(quantile(0.95, buckets), "p95", "P95", min_step="5m"),
        unit="s",
        colour=fixed(palette.AT_REST),
        colours={"median": palette.PACE, "p95": palette.WARNING},
    )


def _verdicts() -> Row:
    outcomes = "sum by (cluster, provider, account, campaign, criterion) ({})"

    def verdicts(outcome: str) -> str:
        return outcomes.format(once(of_campaign("campaign_outcomes", f'outcome="{outcome}"')))

    evaluated, attempts = (
        f"sum({once(of_campaign(name))})"
        for name in ("campaign_attempts_evaluated", "campaign_attempts_with_conversation")
    )
    return [
        grid(
            About(
                "Criteria",
                "How conversations were judged.",
                "Anyreach with attempts only, all attempts of the contacts now in the campaign.",
                "Attempts are not read",
            ),
            [Query(verdicts(name), name=name.capitalize()) for name in ("true", "false", "abstain", "na", "other")],
            [
                Column("Criterion", "criterion", {"custom.minWidth": 160}),
                *(
                    Column(name, name, {"unit": "short", "custom.width": 85})
                    for name in ("True", "False", "Abstain", "Na", "Other")
                ),
            ],
            sort_by="Criterion",
            height=6,
            width=16,
            hide=("provider", "account", "campaign"),
        ),
        figure(
            About(
                "Evaluated",
                "Which share of the conversations has a result.",
                "Anyreach with attempts only.",
                "Attempts are not read",
            ),
            Query(f"{evaluated} / ({attempts} > 0)", " "),
            unit="percentunit",
            decimals=0,
            colour=fixed(palette.PACE),
            width=8,
            height=6,
        ),
    ]


def _queues_and_retries() -> Row:
    def queues(metric: str, state: str) -> str:
        vector = once(of_campaign(metric, f'state="{state}"'))
        return f"sum by (cluster, provider, account, campaign, agent) ({vector})"

    def setting(name: str) -> str:
        return per_campaign(once(of_campaign(f"campaign_retry_{name}")))

    return [
        grid(
            About(
                "Queues by agent",
                "Which agent's queues are open, and how many contacts were queued.",
                "OSVI only. Whether queued is the first size of a queue or what is left of it is not documented.",
                "The provider has no queues",
            ),
            [
                Query(queues("campaign_queues", "open"), name="Open"),
                Query(queues("campaign_queued_contacts", "open"), name="OpenContacts"),
                Query(queues("campaign_queues", "completed"), name="Completed"),
                Query(queues("campaign_queued_contacts", "completed"), name="CompletedContacts"),
            ],
            [
                Column("Agent", "agent", {"custom.minWidth": 160}),
                Column("Open", "Open", {"unit": "none"}),
                Column("Contacts in open", "OpenContacts", {"unit": "short"}),
                Column("Completed", "Completed", {"unit": "none"}),
                Column("Contacts in completed", "CompletedContacts", {"unit": "short"}),
            ],
            sort_by="Agent",
            width=16,
            height=6,
            hide=("provider", "account", "campaign"),
        ),
        grid(
            About(
                "Retry settings",
                "How the campaign tries again.",
                "OSVI only. Whether the limit counts retries or attempts is not documented.",
                "The provider sends no settings",
            ),
            [
                Query(setting("enabled"), name="Enabled"),
                Query(setting("threshold"), name="Limit"),
                Query(setting("delay_seconds"), name="Delay"),
            ],
            [
                Column("Retries", "Enabled", {"unit": "bool_on_off"}),
                Column("Limit", "Limit", {"unit": "none"}),
                Column("Delay", "Delay", {"unit": "s"}),
            ],
            sort_by="Retries",
            width=8,
            height=6,
            hide=("provider", "account", "campaign"),
        ),
    ]
