"""
The numbers at which a panel changes its colour: those of the alerts in `deploy/prometheus/rules`, named beside each.

Ages and silences are shown as a share of the limit in force for that campaign, so that one number serves all of them.
"""

REACHED = 1.0
"""Where a share of a limit has used it up: CampaignStalled, CampaignDataStale."""

USED_SHARE = 0.9
"""CampaignConcurrencySaturated: average use of an organization's cap."""

DATA_AGE_MARGIN_SECONDS = 120
"""CampaignDataStale: what the age of the data may be above `campaign_stale_after_seconds`."""

FAILED_SHARE = 0.2
"""CampaignFailureRateHigh: share of an OSVI campaign's calls that failed."""
FAILED_MIN_STEP = "15m"
"""A quarter of the hour over which that share is taken."""

EXHAUSTED_SHARE = 0.5
"""CampaignExhaustionHigh: share of an Anyreach campaign's finished contacts that used up their attempts."""
EXHAUSTED_MIN_STEP = "45m"
"""A quarter of the three hours over which that share is taken."""

POLL_LAG_SECONDS = 5.0
"""CampaignExporterPollsLate: lateness of the polls at the quantile below."""
POLL_LAG_QUANTILE = 0.95

INTERVAL_STRETCH = 1.0
"""CampaignExporterThrottled: factor by which an account's intervals are stretched; 1 is none."""
