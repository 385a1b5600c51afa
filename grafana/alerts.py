"""Firing alerts as a table, which obeys the choices above and sorts by severity."""

from grafana_foundation_sdk.builders import table

from grafana import palette, queries
from grafana.panels import About, Query
from grafana.queries import of_campaign, once
from grafana.tables import Column, grid, linked, number, text, words_cell

EXPORTER = "http://localhost:10077"
"""Where people reach the exporter, as in the rules: it serves the runbooks, and a page for each campaign."""

# An alert on an account or on the exporter has no campaign: a missing label equals the empty alternative.
CHOSEN = 'job=~"$job|", cluster=~"$cluster|", provider=~"$provider|", account=~"$account|", campaign=~"$campaign|"'
_LABELS = "alertname, cluster, provider, account, name"
_SEVERITIES = {
    "3": ("critical", palette.BAD),
    "2": ("warning", palette.WARNING),
    "1": ("info", palette.IN_FLIGHT),
}


def _firing(severity: str) -> str:
    return once(f'ALERTS{{alertname=~"Campaign.+", {CHOSEN}, alertstate="firing", severity="{severity}"}}')


def _named(alerts: str) -> str:
    """The alerts with what a person knows their campaign by: its name, else its id, else nothing."""
    # The columns are there too when no alert has them.
    for label, source, value, pattern in (
        ("name", "campaign", "-", ""),
        ("name", "campaign", "$1", "(.+)"),
        ("name", "campaign_name", "$1", "(.+)"),
        ("account", "account", "-", ""),
    ):
        alerts = f'label_replace({alerts}, "{label}", "{value}", "{source}", "{pattern}")'
    return f"max by ({_LABELS}) ({alerts})"


def _of_what_is_chosen(alerts: str) -> str:
    """Those of the chosen campaigns, of their accounts and of the exporter, but not those of other accounts."""
    known = f"{queries.CHOSEN_ACCOUNTS} or max by (cluster) ({once(of_campaign('campaign_state'))}) or vector(0)"
    return f"({alerts} and on ({', '.join(queries.ACCOUNT_KEY)}) ({known}))"


def firing_alerts(*, width: int, height: int) -> table.Panel:
    """The table, for any dashboard."""
    weights = " or ".join(f"{_firing(word)} * {weight}" for weight, (word, _) in _SEVERITIES.items())
    firing = f"max without (alertstate, severity) ({weights})"
    since = once(f'ALERTS_FOR_STATE{{alertname=~"Campaign.+", {CHOSEN}}}')
    firing = _named(_of_what_is_chosen(firing))
    runbook = f"{EXPORTER}/runbooks/${{__data.fields.Alert}}"
    return grid(
        About(
            "Firing alerts",
            "Which alerts fire now, the heaviest first; the name leads to what to do.",
            "Alerts of the rules for what is chosen above, those on accounts and on the exporter included."
            " Empty while all is well.",
            "No alert fires",
        ),
        [Query(firing, name="Severity"), Query(f"{_named(since)} * 1000 and {firing}", name="Since")],
        [
            Column("Severity", "Severity", words_cell(_SEVERITIES, 70)),
            Column("Alert", "alertname", linked(text(275), "Runbook", runbook, new_tab=True)),
            Column("Account", "account", text(140)),
            Column("Campaign", "name", text()),
            Column("Since", "Since", number("dateTimeFromNow", 126)),
        ],
        sort_by={"Severity": True, "Alert": False},
        width=width,
        height=height,
        hide=("provider",),
    )
