"""What of the history is looked at: each dashboard when all is well, when several things are wrong, and so on."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.drawing import history
from tests.drawing.browser import View

THEMES = ("dark", "light")
WIDTHS = (1350, 1920)

WALL = "campaign-exporter-campaigns"
CAMPAIGN = "campaign-exporter-campaign"
EXPORTER = "campaign-exporter-exporter"

CAMPAIGNS = {
    "dialing": "june-policy-renewals",
    "stalled": "storm-season-outreach",
    "failing": "invoice-follow-up",
    "drained": "welcome-calls",
    "osvi": "number-change-notices",
}
"""Situations of a campaign's page and who is in them."""
WELL = ("june-policy-renewals", "june-renewals", "claims-helpline")
NOT_WELL = {
    "Payment reminders": "failing",
    "Invoice follow up": "failing",
    "spring-clearance": "failing",
    "Loan offers": "stalled",
    "Storm season outreach": "stalled",
}
"""The campaigns that need somebody at the end of the history, by name or else id, and the state that says so."""


@dataclass(frozen=True, slots=True)
class Situation:
    """A dashboard, the moment at which it is looked at, and what is chosen in its variables."""

    dashboard: str
    now: int = history.END - history.STEP // 2
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


SITUATIONS: Mapping[str, Situation] = {
    "wall-wrong": Situation(WALL),
    "wall-well": Situation(WALL, choices={"campaign": WELL}),
    "wall-osvi": Situation(WALL, choices={"provider": ("osvi",)}),
    "wall-gone": Situation(WALL, history.GONE),
    **{
        f"campaign-{name}": Situation(CAMPAIGN, choices={"campaign": (campaign,)})
        for name, campaign in CAMPAIGNS.items()
    },
    "campaign-gone": Situation(CAMPAIGN, history.GONE, {"campaign": (CAMPAIGNS["dialing"],)}),
    "exporter": Situation(EXPORTER),
    "exporter-gone": Situation(EXPORTER, history.GONE),
}


def view(situation: str, theme: str, width: int) -> View:
    """A situation as it is drawn."""
    about = SITUATIONS[situation]
    return View(about.dashboard, about.now, theme, width, about.choices)
