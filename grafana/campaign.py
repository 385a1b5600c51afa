"""One campaign in depth; several can be chosen, and are then added up or drawn side by side."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana import palette, queries, thresholds
from grafana.panels import About, Column, Query, by_threshold, chart, figure, fixed, grid, shades, timeline
from grafana.panels import thresholds as steps
from grafana.queries import of_campaign, once, rate
from grafana.shell import assembled

UID = "campaign-exporter-campaign"

_OPEN = {"1": ("open", palette.GOOD), "0": ("closed", palette.AT_REST)}


def build() -> Dashboard:
    """The dashboard as Grafana reads it."""
    queue_sum = "sum by (provider, account, campaign, agent) ({})"

    def queues(metric: str, state: str) -> str:
        return queue_sum.format(once(of_campaign(metric, f'state="{state}"')))

    return assembled(
        UID,
        "One calling campaign in depth. Choose it above, or come from the table of all campaigns.",
        [
            figure(
                About(
                    "Status",
                    "What the provider says of the campaign.",
                    "Active campaigns may dial; no provider has a status that means finished.",
                    "Not known",
                ),
                Query(f"max by (campaign, status) ({once(of_campaign('campaign_status'))} == 1)", "{{status}}"),
                colour=fixed(palette.PACE),
                names_only=True,
            ),
            figure(
                About(
                    "Progress",
                    "Which share of the work is done.",
                    "Contacts completed or exhausted over all contacts (Anyreach), completed queues over all queues"
                    " (OSVI).",
                    "Not known",
                ),
                Query(queries.PROGRESS, "{{campaign}}"),
                unit="percentunit",
                decimals=0,
                colour=fixed(palette.GOOD),
            ),
            figure(
                About(
                    "Expected finish",
                    "When no contact will be left.",
                    "At the pace of the last half hour, without a break. Empty outside the hours, when nothing is left"
                    " or nothing finishes, and for OSVI, which does not say what is left.",
                    "No forecast",
                ),
                Query(
                    f"{queries.EXPECTED_FINISH} * 1000",
                    "{{campaign}}",
                    min_step=queries.FORECAST_MIN_STEP,
                ),
                unit="dateTimeFromNow",
                colour=fixed(palette.PACE),
            ),
            figure(
                About(
                    "Dialing expected",
                    "Whether the campaign should be dialing now.",
                    "Active, with work left and every timezone inside its hours. Empty when its hours are unknown.",
                    "Hours unknown",
                ),
                Query(once(of_campaign("campaign_dialing_expected")), "{{campaign}}"),
                colour=fixed(palette.AT_REST),
                words={"1": ("expected", palette.GOOD), "0": ("not expected", palette.AT_REST)},
            ),
            figure(
                About(
                    "Silence",
                    "How long nothing has moved although dialing is expected.",
                    "Time without progress over the campaign's own limit; past 100 % it is a stall, which pages."
                    " Empty while dialing is not expected.",
                    "Not expected",
                ),
                Query(queries.SILENCE, "{{campaign}}"),
                unit="percentunit",
                decimals=0,
                colour=by_threshold(),
                steps=steps((thresholds.REACHED, palette.BAD)),
            ),
            figure(
                About(
                    "Age of data",
                    "How fresh these numbers are.",
                    "Time since the last successful poll over the age that the alert on stale data allows.",
                    "No data yet",
                ),
                Query(queries.DATA_AGE, "{{campaign}}"),
                unit="percentunit",
                decimals=0,
                colour=by_threshold(),
                steps=steps((thresholds.REACHED, palette.WARNING)),
            ),
            chart(
                About(
                    "Contacts by bucket",
                    "How the contacts move from pending to a final bucket.",
                    "Anyreach only. Pending includes contacts that wait for a retry; completed is not success."
                    " Empty when no Anyreach campaign is chosen.",
                    "No Anyreach campaign",
                ),
                Query(f"sum by (bucket) ({once(of_campaign('campaign_contacts'))})", "{{bucket}}"),
                unit="short",
                colour=fixed(palette.AT_REST),
                colours={name: palette.BY_STATE[name] for name in ("pending", "in_progress", "completed", "exhausted")},
                stacked=True,
            ),
            chart(
                About(
                    "Attempts and completion rate",
                    "How fast the campaign dials, and how fast contacts are done with.",
                    "Attempts (Anyreach) or calls (OSVI) in a minute; contacts that were completed or exhausted in a"
                    " minute (Anyreach only).",
                    "No campaign",
                ),
                Query(f"sum({queries.ATTEMPTS_RATE}) * 60", "attempts", "Attempts"),
                Query(
                    f"sum by (bucket) ({once(rate(of_campaign('campaign_observed_contacts_total')))}) * 60",
                    "{{bucket}}",
                    "Finished",
                ),
                unit="cpm",
                colour=fixed(palette.AT_REST),
                colours={
                    "attempts": palette.PACE,
                    "completed": palette.BY_STATE["completed"],
                    "exhausted": palette.BY_STATE["exhausted"],
                },
            ),
            chart(
                About(
                    "Calls by status",
                    "How the calls ended.",
                    "OSVI only: all calls so far. Picked means answered, not successful."
                    " Empty when no OSVI campaign is chosen.",
                    "No OSVI campaign",
                ),
                Query(f"sum by (status) ({once(of_campaign('campaign_calls'))})", "{{status}}"),
                unit="short",
                colour=fixed(palette.AT_REST),
                colours={
                    name: palette.BY_STATE[name]
                    for name in ("picked", "not_picked", "busy", "voicemail", "failed", "in_progress")
                },
                stacked=True,
            ),
            chart(
                About(
                    "Calls against the limit",
                    "Whether the organization's cap holds the campaign back.",
                    "Anyreach only. The campaign's calls as the provider sends them; the account's calls are an"
                    " estimate from below over all its campaigns. Empty when no Anyreach campaign is chosen.",
                    "No Anyreach campaign",
                ),
                Query(f"sum({once(of_campaign('campaign_active_calls'))})", "campaign", "Campaign"),
                Query(f"sum({queries.ACCOUNT_CALLS})", "account", "Account"),
                Query(f"sum({queries.ACCOUNT_LIMIT})", "limit", "Limit"),
                unit="none",
                colour=fixed(palette.AT_REST),
                colours={"campaign": palette.IN_FLIGHT, "account": palette.PACE, "limit": palette.SET_BY_PEOPLE},
            ),
            timeline(
                About(
                    "Calling windows",
                    "When the campaign may call, by timezone.",
                    "From the campaign's configuration or from calling_hours in the exporter's. Contacts are dialed by"
                    " their own timezone. Empty when the windows are unknown.",
                    "Windows unknown",
                ),
                Query(once(of_campaign("campaign_calling_window_open")), "{{campaign}} {{timezone}}"),
                words=_OPEN,
            ),
            timeline(
                About(
                    "Should it dial",
                    "When dialing was expected, and whether work was left.",
                    "Both must be on for silence to be a sign. Expected has no bar while the hours are unknown.",
                    "Not known",
                ),
                Query(once(of_campaign("campaign_dialing_expected")), "{{campaign}} expected", "Expected"),
                Query(once(of_campaign("campaign_work_remaining")), "{{campaign}} work left", "Work"),
                words={"1": ("yes", palette.GOOD), "0": ("no", palette.AT_REST)},
            ),
            chart(
                About(
                    "Failed calls",
                    "Which share of the calls failed.",
                    "OSVI only, an hour and more at a time. The line is where the alert on failures starts."
                    " Empty when no OSVI campaign calls.",
                    "No OSVI call",
                ),
                Query(queries.FAILED_SHARE, "{{campaign}}", min_step=thresholds.FAILED_MIN_STEP),
                unit="percentunit",
                colour=shades(palette.BAD),
                steps=steps((thresholds.FAILED_SHARE, palette.WARNING)),
                maximum=1,
            ),
            chart(
                About(
                    "Exhausted contacts",
                    "Which share of the finished contacts used up their attempts.",
                    "Anyreach only, three hours and more at a time. The line is where the alert on exhaustion starts."
                    " Empty when no Anyreach contact finishes.",
                    "No contact finished",
                ),
                Query(queries.EXHAUSTED_SHARE, "{{campaign}}", min_step=thresholds.EXHAUSTED_MIN_STEP),
                unit="percentunit",
                colour=shades(palette.BAD),
                steps=steps((thresholds.EXHAUSTED_SHARE, palette.WARNING)),
                maximum=1,
            ),
            grid(
                About(
                    "Queues by agent",
                    "Which agent's queues are open, and how many contacts were queued.",
                    "OSVI only. Whether queued is the first size of a queue or what is left of it is not documented."
                    " Empty when no OSVI campaign is chosen.",
                    "-",
                ),
                [
                    Query(queues("campaign_queues", "open"), name="Open"),
                    Query(queues("campaign_queues", "completed"), name="Completed"),
                    Query(queues("campaign_queued_contacts", "open"), name="OpenContacts"),
                    Query(queues("campaign_queued_contacts", "completed"), name="CompletedContacts"),
                ],
                [
                    Column("Campaign", "campaign", {}),
                    Column("Account", "account", {}),
                    Column("Agent", "agent", {}),
                    Column("Open queues", "Open", {"unit": "none"}),
                    Column("Contacts in open queues", "OpenContacts", {"unit": "short"}),
                    Column("Completed queues", "Completed", {"unit": "none"}),
                    Column("Contacts in completed queues", "CompletedContacts", {"unit": "short"}),
                ],
                sort_by="Agent",
                width=16,
                height=8,
            ),
            grid(
                About(
                    "Retry settings",
                    "How the campaign tries again.",
                    "OSVI only, as set in its dashboard. Whether the limit counts retries or attempts is not"
                    " documented. Empty when no OSVI campaign is chosen.",
                    "-",
                ),
                [
                    Query(
                        queries.per_campaign(once(of_campaign("campaign_retry_enabled"))),
                        name="Enabled",
                    ),
                    Query(queries.per_campaign(once(of_campaign("campaign_retry_threshold"))), name="Limit"),
                    Query(queries.per_campaign(once(of_campaign("campaign_retry_delay_seconds"))), name="Delay"),
                ],
                [
                    Column("Campaign", "campaign", {}),
                    Column("Account", "account", {}),
                    Column("Retries", "Enabled", {"unit": "bool_on_off"}),
                    Column("Limit", "Limit", {"unit": "none"}),
                    Column("Delay", "Delay", {"unit": "s"}),
                ],
                sort_by="Campaign",
                width=8,
                height=8,
            ),
        ],
    )
