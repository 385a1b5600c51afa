"""
PromQL of the dashboards.

Every selector names `job` and `instance`, and replicas are counted once by `max without (instance, pod)` around the
raw series or their rate. Recorded series have neither label, so none is used.
"""

from grafana.thresholds import DATA_AGE_MARGIN_SECONDS

EXPORTER = 'job=~"$job", instance=~"$instance"'
ACCOUNT = EXPORTER + ', provider=~"$provider", account=~"$account"'
CAMPAIGN = ACCOUNT + ', campaign=~"$campaign"'


def of_exporter(metric: str) -> str:
    """Selector of a series of the process."""
    return f"{metric}{{{EXPORTER}}}"


def of_account(metric: str, matcher: str = "") -> str:
    """Selector of an account's series, narrowed by one more matcher where given."""
    return f"{metric}{{{ACCOUNT}{', ' + matcher if matcher else ''}}}"


def of_campaign(metric: str, matcher: str = "") -> str:
    """Selector of a campaign's series, narrowed by one more matcher where given."""
    return f"{metric}{{{CAMPAIGN}{', ' + matcher if matcher else ''}}}"


def once(vector: str) -> str:
    """Count replicas once: of equal series of several instances the largest."""
    return f"max without (instance, pod) ({vector})"


def rate(selector: str) -> str:
    """Rate of a counter a second, over the range that Grafana finds fit."""
    return f"rate({selector}[$__rate_interval])"


def per_campaign(vector: str, *labels: str) -> str:
    """Drop the labels that a table would show as columns of their own: job, users' labels, target labels."""
    return f"max by ({', '.join(('provider', 'account', 'campaign', *labels))}) ({vector})"


def newest_label(vector: str, label: str) -> str:
    """One row for each campaign, also while two replicas disagree on a label for the length of a poll."""
    return per_campaign(f"topk by (provider, account, campaign) (1, {vector})", label)


def quantile(share: float, buckets: str, *labels: str) -> str:
    """Quantile over the selector of a histogram's buckets, for each combination of the labels."""
    return f"histogram_quantile({share}, sum by ({', '.join(('le', *labels))}) ({once(rate(buckets))}))"


_DONE = 'bucket=~"completed|exhausted"'
_LEFT = 'bucket=~"pending|in_progress"'
_PICKED = 'status="picked"'
_FAILED = 'status="failed"'
_IS_ACTIVE = 'status="active"'
_EXHAUSTED = 'bucket="exhausted"'
_COMPLETED_QUEUES = of_campaign("campaign_queues", 'state="completed"')

ATTEMPTS_RATE = (
    f"({once(rate(of_campaign('campaign_observed_attempts_total')))}"
    f" or sum without (status) ({once(rate(of_campaign('campaign_observed_calls_total')))}))"
)
"""Attempts (Anyreach) or calls (OSVI) a second, by campaign."""

CALLS_MADE = f"({once(of_campaign('campaign_attempts'))} or {once(of_campaign('campaign_calls_made'))})"
"""Attempts (Anyreach) or calls (OSVI) so far, by campaign."""

PROGRESS = (
    f"(sum without (bucket) ({once(of_campaign('campaign_contacts', _DONE))})"
    f" / ({once(of_campaign('campaign_contacts_loaded'))} > 0)"
    f" or sum without (agent, state) ({once(_COMPLETED_QUEUES)})"
    f" / (sum without (agent, state) ({once(of_campaign('campaign_queues'))}) > 0))"
)
"""Share of the work that is done: contacts in a final bucket (Anyreach), completed queues (OSVI)."""

# Contacts over observed seconds, not a plain rate: gaps in the polls, and a range longer than the history, then
# change neither the pace nor the forecast.
FINISHING_PACE = (
    f"(sum without (bucket) ({once(rate(of_campaign('campaign_observed_contacts_total', _DONE)))})"
    f" / ({once(rate(of_campaign('campaign_observed_seconds_total')))} > 0))"
)
SECONDS_LEFT = (
    f"((sum without (bucket) ({once(of_campaign('campaign_contacts', _LEFT))}) > 0) / ({FINISHING_PACE} > 0))"
)
"""Seconds until no contact is left at the pace of the range; no sample where none is left or none finishes."""
_ACTIVE = f"sum without (status) ({once(of_campaign('campaign_status', _IS_ACTIVE))})"
EXPECTED_FINISH = (
    f"(time() + {SECONDS_LEFT} and {_ACTIVE} == 1 unless {once(of_campaign('campaign_dialing_expected'))} == 0)"
)
"""Unix time of that moment; no sample for a campaign that is off or outside its hours, where the pace misleads."""
FORECAST_MIN_STEP = "450s"
"""A quarter of the 30 minutes that a forecast looks back over: `$__rate_interval` is four times the minimal step."""

ANSWERED_SHARE = (
    f"{once(rate(of_campaign('campaign_observed_calls_total', _PICKED)))}"
    f" / ignoring (status) (sum without (status) ({once(rate(of_campaign('campaign_observed_calls_total')))}) > 0)"
)
"""Share of OSVI's calls that somebody picked up."""
FAILED_SHARE = (
    f"{once(rate(of_campaign('campaign_observed_calls_total', _FAILED)))}"
    f" / ignoring (status) (sum without (status) ({once(rate(of_campaign('campaign_observed_calls_total')))}) > 0)"
)
"""Share of OSVI's calls that failed."""
EXHAUSTED_SHARE = (
    f"{once(rate(of_campaign('campaign_observed_contacts_total', _EXHAUSTED)))}"
    f" / ignoring (bucket) (sum without (bucket) ({once(rate(of_campaign('campaign_observed_contacts_total')))}) > 0)"
)
"""Share of Anyreach's finished contacts that used up their attempts."""

DATA_AGE = (
    f"(time() - {once(of_campaign('campaign_last_success_timestamp_seconds'))})"
    f" / ({once(of_campaign('campaign_stale_after_seconds'))} + {DATA_AGE_MARGIN_SECONDS})"
)
"""Age of a campaign's data over the age at which the alert on stale data starts."""

_SINCE_PROGRESS = f"time() - {once(of_campaign('campaign_last_progress_timestamp_seconds'))}"
_SINCE_EXPECTED = f"time() - {once(of_campaign('campaign_dialing_expected_since_timestamp_seconds'))}"
SILENCE = (
    f"(({_SINCE_PROGRESS}) < ({_SINCE_EXPECTED}) or ({_SINCE_EXPECTED}))"
    f" / {once(of_campaign('campaign_stall_after_seconds'))}"
)
"""Time without progress, while dialing is expected, over the silence that means a stall."""

ACCOUNT_CALLS = once(of_account("campaign_account_active_calls"))
ACCOUNT_LIMIT = once(of_account("campaign_account_concurrency_limit"))
UTILIZATION = f"{ACCOUNT_CALLS} / ({ACCOUNT_LIMIT} > 0)"
AVERAGE_USE = once(of_account("campaign_account_utilization_ratio"))
"""Average use of an organization's cap over the last ten minutes."""


def in_state(state: str) -> str:
    """Number of campaigns in a state; 0 when all are in others, and no sample without any campaign."""
    matcher = f'state="{state}"'
    states = once(of_campaign("campaign_state"))
    return f"count({once(of_campaign('campaign_state', matcher))}) or count({states}) * 0"
