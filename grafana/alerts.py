"""Firing alerts as a table, which obeys the choices above and sorts by severity."""

from grafana_foundation_sdk.builders import table

from grafana import palette
from grafana.panels import About, Column, Query, grid, words_cell
from grafana.queries import once

RUNBOOKS = "http://localhost:10077/runbooks/"
"""Where the exporter serves its runbooks, as in the rules; ends in a slash."""

_LABELS = "alertname, severity, cluster, provider, account, campaign"
# An alert on an account or on the exporter has no campaign: a missing label equals the empty alternative.
_CHOSEN = (
    'alertname=~"Campaign.+", job=~"$job|", cluster=~"$cluster|", provider=~"$provider|", account=~"$account|",'
    ' campaign=~"$campaign|"'
)
_SEVERITIES = {
    "3": ("critical", palette.BAD),
    "2": ("warning", palette.WARNING),
    "1": ("info", palette.IN_FLIGHT),
}


def _firing(severity: str) -> str:
    return once(f'ALERTS{{{_CHOSEN}, alertstate="firing", severity="{severity}"}}')


_WEIGHT = " or ".join(f"{_firing(word)} * {weight}" for weight, (word, _) in _SEVERITIES.items())
_SINCE = once(f"ALERTS_FOR_STATE{{{_CHOSEN}}}")


def firing_alerts(*, width: int, height: int) -> table.Panel:
    """The table, for any dashboard."""
    link = {"title": "Runbook", "url": f"{RUNBOOKS}${{__data.fields.Alert}}", "targetBlank": True}
    firing = f"max by ({_LABELS}) (max without (alertstate) ({_WEIGHT}))"
    return grid(
        About(
            "Firing alerts",
            "Which alerts fire now, the heaviest first; the name leads to what to do.",
            "Alerts of the rules for what is chosen above, those on accounts and on the exporter included."
            " Empty while all is well.",
            "No alert fires",
        ),
        [
            Query(firing, name="Severity"),
            Query(f"max by ({_LABELS}) ({_SINCE}) * 1000 and {firing}", name="Since"),
        ],
        [
            Column("Severity", "Severity", words_cell(_SEVERITIES, 80)),
            Column("Alert", "alertname", {"links": [link], "custom.minWidth": 180}),
            Column("Account", "account", {"custom.minWidth": 110}),
            Column("Campaign", "campaign", {"custom.minWidth": 110}),
            Column("Since", "Since", {"unit": "dateTimeFromNow", "custom.width": 140}),
        ],
        sort_by="Severity",
        descending=True,
        width=width,
        height=height,
        hide=("severity", "provider"),
    )
