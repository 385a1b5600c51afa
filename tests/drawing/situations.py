"""What of the history is looked at: each dashboard when all is well, when several things are wrong, and so on."""

from collections.abc import Iterator

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
    "payment-reminders": "failing",
    "invoice-follow-up": "failing",
    "spring-clearance": "failing",
    "loan-offers": "stalled",
    "storm-season-outreach": "stalled",
}
"""The campaigns that need somebody at the end of the history, and the state that says so."""

_NOW = history.END - history.STEP // 2


def views(theme: str, width: int) -> Iterator[tuple[str, View]]:
    """All situations at one theme and width, each with a name."""
    yield "wall-wrong", View(WALL, _NOW, theme, width)
    yield "wall-well", View(WALL, _NOW, theme, width, {"campaign": WELL})
    yield "wall-gone", View(WALL, history.GONE, theme, width)
    for situation, campaign in CAMPAIGNS.items():
        yield f"campaign-{situation}", View(CAMPAIGN, _NOW, theme, width, {"campaign": (campaign,)})
    yield "campaign-gone", View(CAMPAIGN, history.GONE, theme, width, {"campaign": (CAMPAIGNS["dialing"],)})
    yield "exporter", View(EXPORTER, _NOW, theme, width)
    yield "exporter-gone", View(EXPORTER, history.GONE, theme, width)
