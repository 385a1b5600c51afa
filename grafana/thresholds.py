"""
The numbers at which a panel changes its colour: those of the alerts in `deploy/prometheus/rules`, named beside each.
"""

SATURATED_SHARE = 0.9
"""CampaignConcurrencySaturated: average use of an organization's concurrency limit."""

FAILED_SHARE = 0.2
"""CampaignFailureRateHigh: share of an OSVI campaign's calls that failed."""
FAILED_MIN_STEP = "15m"
"""A quarter of the hour over which that share is taken."""

EXHAUSTED_SHARE = 0.5
"""CampaignExhaustionHigh: share of an Anyreach campaign's finished contacts that used up their attempts."""

POLL_LAG_SECONDS = 5.0
"""CampaignExporterPollsLate: lateness of the polls at the quantile below."""
POLL_LAG_QUANTILE = 0.95

INTERVAL_STRETCH = 1.0
"""CampaignExporterThrottled: factor by which an account's intervals are stretched; 1 is none."""
