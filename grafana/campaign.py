"""One campaign in depth: what is wrong with it and what to do, then its work, its calls, its hours and its settings."""

from grafana_foundation_sdk.builders import stat, table, timeseries
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana import conversations, palette, queries, states, thresholds
from grafana.alerts import EXPORTER, firing_alerts
from grafana.panels import SMOOTH_POINTS, About, Query, chart, figure, fixed, timeline
from grafana.panels import thresholds as steps
from grafana.queries import lately, lost_share, of_campaign, once, over_an_hour, per_campaign
from grafana.shell import Row, assembled, exporter_up
from grafana.tables import Column, grid, number, stepped, text

UID = "campaign-exporter-campaign"

_YES_NO = {"1": ("yes", palette.GOOD), "0": ("no", palette.AT_REST)}
_OPEN = {"1": ("open", palette.GOOD), "0": ("closed", palette.AT_REST)}
_FINISH_WORDS = queries.FINISH_WORDS | {"-2": "at rest"}
_PAGE = f"{EXPORTER}/campaigns" + "".join(
    f"/${{__field.labels.{label}:percentencode}}" for label in ("provider", "account", "campaign")
)


def build() -> Dashboard:
    """The dashboard as Grafana reads it."""
    return assembled(
        UID,
        "One calling campaign in depth. Choose it above, or come from the table of all campaigns.",
        _state(),
        [_this_campaign()],
        [firing_alerts(width=15, height=7), _work_left()],
        _outcomes_and_calls(),
        _pace(),
        _hours(),
        conversations.durations(),
        conversations.judged(),
        [_contacts_and_queues(), conversations.by_attempts()],
        [_settings()],
        single=True,
    )


def _state() -> Row:
    return [exporter_up(), _standing(), _what_to_do(), *_figures()]


def _standing() -> stat.Panel:
    return figure(
        About("State", "Where the campaign stands.", "The exporter's own campaign_state.", "Unknown"),
        Query(states.WEIGHT),
        words=states.WORDS,
    )


def _what_to_do() -> stat.Panel:
    return figure(
        About(
            "What to do",
            "What a person does about it; a click leads to the exporter's own page of the campaign.",
            "Depends on the state, on the reason where polls fail, and on alerts that fire while it dials.",
            "Nothing is known of it: look at Exporter, and at the choices above",
        ),
        Query(states.ADVICE),
        words=states.ADVICE_WORDS,
        plain=True,
        link=_PAGE,
        width=9,
    )


def _figures() -> Row:
    at_rest = once(of_campaign("campaign_state", 'state!~"dialing|saturated|stalled|failing|stale|not_polled"'))
    finish = f"max({queries.EXPECTED_FINISH}) or max({at_rest} * 0 - 2)"
    return [
        figure(
            About("Progress", "Which share of the work is done.", "Final contacts or completed queues.", "Not known"),
            Query(queries.PROGRESS),
            unit="percentunit",
            decimals=0,
        ),
        figure(
            About(
                "Expected finish",
                "When no contact will be left.",
                "At the net fall of the last hour. None where as many contacts arrive as end (refilled), where"
                " none ends, and for OSVI, which does not say what is left.",
                "Not known",
            ),
            Query(finish, min_step="15m"),
            unit="dateTimeFromNow",
            words={value: (word, palette.AT_REST) for value, word in _FINISH_WORDS.items()},
            plain=True,
        ),
        figure(
            About(
                "Silent for",
                "How long nothing has moved although dialing is expected.",
                "Past the campaign's own limit its state is stalled.",
                "no call due",
            ),
            Query(queries.SILENCE),
            unit="s",
            decimals=0,
        ),
    ]


def _this_campaign() -> table.Panel:
    # The column is there too while the status is not known.
    unknown = f'label_replace({once(of_campaign("campaign_state"))}, "status", "-", "", "")'
    known = f"{once(of_campaign('campaign_status'))} == 1"
    status = queries.newest_label(f"({known} or on ({', '.join(queries.KEY)}) {unknown})", "status")
    return grid(
        About(
            "This campaign",
            "Which campaign this is, why it is in its state, and how old its numbers are.",
            "There as soon as the exporter knows the campaign, also when its provider sends nothing.",
            "Nothing is known of it: look at Exporter, and at the choices above",
        ),
        [
            Query(queries.SHOWN_NAME, name="Name"),
            Query(states.WHY, name="Why"),
            Query(status, name="Status"),
            Query(per_campaign(queries.DATA_AGE), name="Age"),
            Query(per_campaign(once(of_campaign("campaign_poll_interval_seconds"))), name="Interval"),
            Query(per_campaign(once(of_campaign("campaign_attempts_per_contact"))), name="Attempts"),
        ],
        [
            Column("Name", "name", text()),
            Column("Id", "campaign", text(300)),
            Column("Account", "account", text(140)),
            Column("Provider", "provider", text(80)),
            Column("Status", "status", text(70)),
            Column("Why", "why", text()),
            Column("Data age", "Age", number("s", 80, decimals=0)),
            Column("Polled every", "Interval", number("s", 108, decimals=0)),
            Column("Attempts/contact", "Attempts", number("none", 142, decimals=2)),
        ],
        sort_by={"Name": False},
        height=4,
    )


def _work_left() -> timeseries.Panel:
    return chart(
        About(
            "Work left",
            "How fast the work is used up.",
            "Contacts that wait or are being called (Anyreach), contacts in open queues (OSVI).",
            "Nothing is known of its work",
        ),
        Query(f"sum({queries.CONTACTS_OR_QUEUED_LEFT})", "left"),
        unit="short",
        colour=fixed(palette.PACE),
        width=9,
        height=7,
    )


def _outcomes_and_calls() -> Row:
    average = f"sum({lately(of_campaign('campaign_active_call_seconds_total'))})"
    average += f" / (sum({lately(of_campaign('campaign_observed_seconds_total'))}) > 0)"
    in_progress = once(of_campaign("campaign_calls", 'status="in_progress"'))
    return [
        chart(
            About(
                "Outcomes",
                "Which share of contacts (Anyreach) or calls (OSVI) ended in which way.",
                "Within an hour. Completed and picked are not success.",
                "Nothing ended within an hour",
            ),
            Query(queries.shares("campaign_observed_contacts_total", "bucket"), "{{bucket}}", "Contacts"),
            Query(queries.shares("campaign_observed_calls_total", "status"), "{{status}}", "Calls"),
            unit="percentunit",
            colour=fixed(palette.AT_REST),
            colours={name: colour for name, colour in palette.BY_STATE.items() if name not in palette.UNDER_WAY},
            stacked=True,
            maximum=1,
        ),
        chart(
            About(
                "Calls at once",
                "How many calls are under way, and whether the organization's limit holds the campaign back.",
                "The campaign's average (Anyreach), or its calls in progress (OSVI, which has no limit). The account's"
                " is the average of ten minutes, an estimate from below.",
                "Nothing is known of its calls",
            ),
            Query(f"{average} or sum({in_progress})", "campaign", "Campaign"),
            Query(f"sum({queries.UTILIZATION} * {queries.ACCOUNT_LIMIT})", "account", "Account"),
            Query(f"sum({queries.ACCOUNT_LIMIT})", "limit", "Limit"),
            unit="none",
            colour=fixed(palette.AT_REST),
            colours={"campaign": palette.IN_FLIGHT, "account": palette.PACE, "limit": palette.SET_BY_PEOPLE},
        ),
    ]


def _pace() -> Row:
    return [
        chart(
            About("Calls", "How fast the campaign dials.", "Attempts or calls begun in a minute.", "No call is known"),
            Query(f"sum({queries.ATTEMPTS_RATE}) * 60", "calls"),
            unit="suffix: /min",
            colour=fixed(palette.PACE),
            points=SMOOTH_POINTS,
        ),
        chart(
            About(
                "Lost share",
                "Which share of calls failed (OSVI) or of contacts ran out of attempts (Anyreach).",
                "Within an hour. The line is where the alert on OSVI's failures starts.",
                "Nothing ended within an hour",
            ),
            Query(f"sum without (status, bucket) ({lost_share(over_an_hour)})", "lost"),
            unit="percentunit",
            colour=fixed(palette.BAD),
            steps=steps((thresholds.FAILED_SHARE, palette.WARNING)),
            maximum=1,
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
                "Its calling windows are not known",
            ),
            Query(once(of_campaign("campaign_calling_window_open")), "{{timezone}}", min_step="60s"),
            words=_OPEN,
            height=5,
        ),
        timeline(
            About(
                "Should it dial",
                "When dialing was expected, and whether work was left.",
                "Both must be on for silence to be a sign.",
                "Nothing is known of its work",
            ),
            Query(f"max({expected})", "expected", "Expected", min_step="60s"),
            Query(f"max({once(of_campaign('campaign_work_remaining'))})", "work left", "Work", min_step="60s"),
            words=_YES_NO,
            height=5,
        ),
    ]


def _contacts_and_queues() -> table.Panel:
    def labelled(vector: str, label: str) -> str:
        # Anyreach's contacts have no agent: the column is there all the same.
        agent = f'label_replace({vector}, "agent", "-", "agent", "")'
        named = f'label_replace({agent}, "part", "$1", "{label}", "(.+)")'
        return f"sum by (cluster, provider, account, campaign, agent, part) ({named})"

    contacts = labelled(once(of_campaign("campaign_contacts")), "bucket")
    queued = labelled(once(of_campaign("campaign_queued_contacts")), "state")
    return grid(
        About(
            "Contacts and queues",
            "How many contacts are where, and which agent's queues are open.",
            "Buckets of contacts (Anyreach), or queues by agent and state (OSVI). Whether OSVI counts the first size of"
            " a queue or what is left of it is not documented.",
            "Nothing is known of its contacts",
        ),
        [
            Query(f"{contacts} or {queued}", name="Contacts"),
            Query(labelled(once(of_campaign("campaign_queues")), "state"), name="Queues"),
        ],
        [
            Column("Contacts that are", "part", text()),
            Column("Agent", "agent", text()),
            Column("Contacts", "Contacts", number("short", 100)),
            Column("Queues", "Queues", number("none", 100)),
        ],
        sort_by={"Agent": False, "Contacts that are": False},
        width=12,
        height=7,
        hide=("provider", "account", "campaign"),
    )


def _settings() -> table.Panel:
    def each(metric: str) -> str:
        return per_campaign(once(of_campaign(metric)))

    never = stepped(number("none"), (0, palette.WARNING), (1, palette.AT_REST))
    return grid(
        About(
            "Settings",
            "What the campaign was given: contacts, windows, retries.",
            "No window at all means that it never dials. Uploads and retries are OSVI's; whether their limit counts"
            " retries or attempts is not documented.",
            "Nothing is known of its settings",
        ),
        [
            Query(f"{each('campaign_created_timestamp_seconds')} * 1000", name="Created"),
            Query(each("campaign_contacts_loaded"), name="Loaded"),
            Query(each("campaign_uploads"), name="Uploads"),
            Query(each("campaign_calling_windows"), name="Windows"),
            Query(each("campaign_stall_after_seconds"), name="Stall"),
            Query(each("campaign_retry_enabled"), name="Retries"),
            Query(each("campaign_retry_threshold"), name="Limit"),
            Query(each("campaign_retry_delay_seconds"), name="Delay"),
        ],
        [
            Column("Created", "Created", number("dateTimeFromNow")),
            Column("Loaded", "Loaded", number("short")),
            Column("Uploads", "Uploads", number("none")),
            Column("Windows", "Windows", never),
            Column("Stall after", "Stall", number("s", decimals=0)),
            Column("Retries", "Retries", number("bool_on_off")),
            Column("Limit", "Limit", number("none")),
            Column("Retry delay", "Delay", number("s", decimals=0)),
        ],
        sort_by={"Created": True},
        height=4,
        hide=("provider", "account", "campaign"),
    )
