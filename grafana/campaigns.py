"""The wall: all campaigns at a glance, and what needs a person."""

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana import palette, queries, thresholds
from grafana.panels import About, Column, Query, by_threshold, chart, dressed, figure, fixed, grid, shades
from grafana.panels import thresholds as steps
from grafana.queries import of_campaign, once, per_campaign
from grafana.shell import assembled

UID = "campaign-exporter-campaigns"

_ACTIVE = once(of_campaign("campaign_status", 'status="active"'))

_DETAIL_URL = (
    "/d/campaign-exporter-campaign?${__url_time_range}&${datasource:queryparam}&${job:queryparam}&${instance:queryparam}"
    "&var-provider=${__data.fields.provider:percentencode}&var-account=${__data.fields.account:percentencode}"
    "&var-campaign=${__data.fields.campaign:percentencode}"
)
_BAR = {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}


def _age_steps() -> dict[str, object]:
    return {
        "mode": "absolute",
        "steps": [{"color": palette.GOOD, "value": None}, {"color": palette.WARNING, "value": thresholds.REACHED}],
    }


def build() -> Dashboard:
    """The dashboard as Grafana reads it."""
    calls_now = grid(
        About(
            "Calls against the cap",
            "How close each organization is to its limit of calls at once.",
            "Anyreach only. Calls are an estimate from below, since calls outside the watched campaigns are not seen."
            " Average use is that of the last ten minutes; the alert on saturation has the same threshold."
            " Empty when no Anyreach account is chosen.",
            "No Anyreach account",
        ),
        [
            Query(f"max by (provider, account) ({queries.ACCOUNT_CALLS})", name="Calls"),
            Query(f"max by (provider, account) ({queries.ACCOUNT_LIMIT})", name="Cap"),
            Query(f"max by (provider, account) ({queries.UTILIZATION})", name="Used"),
            Query(f"max by (provider, account) ({queries.AVERAGE_USE})", name="Average"),
        ],
        [
            Column("Provider", "provider", {}),
            Column("Account", "account", {}),
            Column("Calls now", "Calls", {"unit": "none"}),
            Column("Cap", "Cap", {"unit": "none"}),
            Column(
                "Used",
                "Used",
                {
                    "unit": "percentunit",
                    "min": 0,
                    "max": 1,
                    "custom.cellOptions": _BAR,
                    "color": {"mode": "fixed", "fixedColor": palette.IN_FLIGHT},
                },
            ),
            Column(
                "Average use",
                "Average",
                {
                    "unit": "percentunit",
                    "custom.cellOptions": {"type": "color-text"},
                    "color": {"mode": "thresholds"},
                    "thresholds": {
                        "mode": "absolute",
                        "steps": [
                            {"color": palette.GOOD, "value": None},
                            {"color": palette.WARNING, "value": thresholds.USED_SHARE},
                        ],
                    },
                },
            ),
        ],
        sort_by="Account",
        width=14,
        height=7,
    )
    alerts = (
        dressed(
            dashboard.Panel(),
            About(
                "Firing alerts",
                "Which alerts on campaigns and on the exporter fire now.",
                "Alerts of the data source's rules whose names begin with Campaign, whatever is chosen above."
                " Empty while all is well.",
                "No alert fires",
            ),
            unit="none",
            width=10,
            height=7,
        )
        .type("alertlist")
        .options(
            {
                "alertInstanceLabelFilter": "",
                "alertName": "Campaign",
                "dashboardAlerts": False,
                "groupBy": [],
                "groupMode": "default",
                "maxItems": 50,
                "showInactiveAlerts": False,
                "showInstances": True,
                "sortOrder": 3,
                "stateFilter": {
                    "error": True,
                    "firing": True,
                    "noData": False,
                    "normal": False,
                    "pending": False,
                    "recovering": False,
                },
                "viewMode": "list",
            }
        )
    )
    campaigns = grid(
        About(
            "All campaigns",
            "Every campaign with its state, its progress and its pace; a click on its name leads to the details.",
            "Progress is the share of contacts in a final bucket (Anyreach) or of completed queues (OSVI)."
            " Expected finish assumes the pace of the last half hour, without a break; OSVI does not say what is left."
            " Age is the time since the last successful poll over the age that the alert on stale data allows."
            " A campaign without a number shows none.",
            "-",
        ),
        [
            Query(queries.newest_label(once(of_campaign("campaign_info")), "campaign_name"), name="Name"),
            Query(queries.newest_label(f"{once(of_campaign('campaign_status'))} == 1", "status"), name="Status"),
            Query(queries.newest_label(f"{once(of_campaign('campaign_poll_error'))} == 1", "reason"), name="Problem"),
            Query(per_campaign(queries.PROGRESS), name="Progress"),
            Query(per_campaign(f"{queries.ATTEMPTS_RATE} * 60"), name="Pace", min_step="75s"),
            Query(per_campaign(once(of_campaign("campaign_active_calls"))), name="Active"),
            Query(per_campaign(queries.CALLS_MADE), name="Made"),
            Query(
                per_campaign(f"{queries.EXPECTED_FINISH} * 1000"),
                name="Finish",
                min_step=queries.FORECAST_MIN_STEP,
            ),
            Query(per_campaign(queries.DATA_AGE), name="Age"),
        ],
        [
            Column(
                "Campaign",
                "campaign",
                {"links": [{"title": "Details of this campaign", "url": _DETAIL_URL, "targetBlank": False}]},
            ),
            Column("Name", "campaign_name", {}),
            Column("Account", "account", {}),
            Column("Provider", "provider", {}),
            Column("Status", "status", {}),
            Column(
                "Progress",
                "Progress",
                {
                    "unit": "percentunit",
                    "min": 0,
                    "max": 1,
                    "custom.cellOptions": _BAR,
                    "custom.width": 180,
                    "color": {"mode": "fixed", "fixedColor": palette.GOOD},
                },
            ),
            Column("Attempts per minute", "Pace", {"unit": "none", "decimals": 1}),
            Column("Calls now", "Active", {"unit": "none"}),
            Column("Calls made", "Made", {"unit": "short"}),
            Column("Expected finish", "Finish", {"unit": "dateTimeFromNow"}),
            Column(
                "Age of data",
                "Age",
                {
                    "unit": "percentunit",
                    "decimals": 0,
                    "custom.cellOptions": {"type": "color-text"},
                    "color": {"mode": "thresholds"},
                    "thresholds": _age_steps(),
                },
            ),
            Column("Problem", "reason", {}),
        ],
        sort_by="Campaign",
        height=14,
    )
    return assembled(
        UID,
        "All calling campaigns at a glance, and what needs a person.",
        [
            figure(
                About(
                    "Active campaigns",
                    "How many campaigns may dial now.",
                    "Campaigns whose status at the provider is active. Those whose data are withdrawn are not counted.",
                    "No campaign",
                ),
                Query(f"sum({_ACTIVE})"),
                colour=fixed(palette.PACE),
            ),
            figure(
                About(
                    "Stalled campaigns",
                    "How many campaigns should dial and don't.",
                    "Active, with work left, inside their hours, silent for longer than their own limit and with room"
                    " in their organization: what the alert on stalls says, without its delay."
                    " Campaigns whose hours are unknown are left out.",
                    "No campaign",
                ),
                Query(queries.in_state("stalled")),
                colour=by_threshold(),
                steps=steps((1, palette.BAD)),
            ),
            figure(
                About(
                    "Drained campaigns",
                    "How many campaigns are worked through and still active.",
                    "They wait for new contacts or for being closed.",
                    "No campaign",
                ),
                Query(queries.in_state("drained")),
                colour=by_threshold(),
                steps=steps((1, palette.WAITING)),
            ),
            figure(
                About(
                    "Failing campaigns",
                    "How many campaigns could not be polled the last time.",
                    "Their values stay for a while and are then withdrawn; the table below says the reason.",
                    "No campaign",
                ),
                Query(f"sum(1 - {once(of_campaign('campaign_up'))})"),
                colour=by_threshold(),
                steps=steps((1, palette.WARNING)),
            ),
            figure(
                About(
                    "Oldest data",
                    "How old the oldest data are that are still polled well.",
                    "Time since the last successful poll over the age that the alert on stale data allows, largest of"
                    " all campaigns that do not fail; at 100 % polls no longer come.",
                    "No data yet",
                ),
                Query(f"max({queries.DATA_AGE} and {once(of_campaign('campaign_up'))} == 1)"),
                unit="percentunit",
                decimals=0,
                colour=by_threshold(),
                steps=steps((thresholds.REACHED, palette.WARNING)),
            ),
            figure(
                About(
                    "Dialing now",
                    "How many attempts all chosen campaigns begin in a minute.",
                    "Attempts (Anyreach) and calls (OSVI) together.",
                    "No campaign",
                ),
                Query(f"sum({queries.ATTEMPTS_RATE}) * 60", min_step="75s"),
                unit="cpm",
                decimals=1,
                colour=fixed(palette.PACE),
            ),
            calls_now,
            alerts,
            campaigns,
            chart(
                About(
                    "Dialing rate by campaign",
                    "How fast each campaign dials.",
                    "Attempts (Anyreach) or calls (OSVI) begun in a minute; at each moment the 25 fastest.",
                    "No campaign",
                ),
                Query(f"topk(25, {queries.ATTEMPTS_RATE} * 60)", "{{account}} / {{campaign}}"),
                unit="cpm",
                colour=shades(palette.PACE),
            ),
            chart(
                About(
                    "Answer rate",
                    "Which share of its calls each OSVI campaign gets answered.",
                    "Picked calls over all calls that ended, 20 minutes and more at a time; picked means answered, not"
                    " successful. Anyreach does not say. Empty when no OSVI campaign calls.",
                    "No OSVI call",
                ),
                Query(queries.ANSWERED_SHARE, "{{account}} / {{campaign}}", min_step="5m"),
                unit="percentunit",
                colour=shades(palette.GOOD),
                maximum=1,
            ),
            chart(
                About(
                    "Utilization by account",
                    "Which share of its calls at once each organization uses.",
                    "Anyreach only; an estimate from below. Above 100 % where the cap was lowered while calls ran."
                    " Empty when no Anyreach account is chosen.",
                    "No Anyreach account",
                ),
                Query(queries.UTILIZATION, "{{account}}"),
                unit="percentunit",
                colour=shades(palette.IN_FLIGHT),
            ),
            chart(
                About(
                    "Average use by account",
                    "How much of its cap each organization used over ten minutes.",
                    "Anyreach only. The line is where the alert on saturation starts."
                    " Empty when no Anyreach account is chosen.",
                    "No Anyreach account",
                ),
                Query(queries.AVERAGE_USE, "{{account}}"),
                unit="percentunit",
                colour=shades(palette.IN_FLIGHT),
                steps=steps((thresholds.USED_SHARE, palette.WARNING)),
                maximum=1,
            ),
        ],
    )
