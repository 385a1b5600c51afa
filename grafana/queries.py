"""
PromQL of the dashboards.

Every selector names `job` and `instance`, and replicas are counted once by `max without (instance, pod)` around the
raw series or their rate. Recorded series have neither label, so none is used.
"""

EXPORTER = 'job=~"$job", instance=~"$instance", cluster=~"$cluster"'
ACCOUNT = EXPORTER + ', provider=~"$provider", account=~"$account"'
KEY = ("cluster", "provider", "account", "campaign")
"""What makes a row of its own in a table; only targets that name their cluster have the first."""
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
    return f"max by ({', '.join((*KEY, *labels))}) ({vector})"


def newest_label(vector: str, label: str) -> str:
    """One row for each campaign, also while two replicas disagree on a label for the length of a poll."""
    return per_campaign(f"topk by ({', '.join(KEY)}) (1, {vector})", label)


def quantile(share: float, buckets: str, *labels: str) -> str:
    """Quantile over the selector of a histogram's buckets, for each combination of the labels."""
    return f"histogram_quantile({share}, sum by ({', '.join(('le', *labels))}) ({once(rate(buckets))}))"


_DONE = 'bucket=~"completed|exhausted"'
_LEFT = 'bucket=~"pending|in_progress"'
_PICKED = 'status="picked"'
_FAILED = 'status="failed"'
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

_CONTACTS_LEFT = of_campaign("campaign_contacts", _LEFT)
CONTACTS_LEFT = f"sum without (bucket) ({once(_CONTACTS_LEFT)})"
"""Contacts that wait or are being called (Anyreach)."""
_AN_HOUR_AGO = f"sum without (bucket) ({once(_CONTACTS_LEFT + ' offset 1h')})"
_DIALS = 'state=~"dialing|saturated|stalled"'
EXPECTED_FINISH = (
    f"(time() + 3600 * {CONTACTS_LEFT} / ({_AN_HOUR_AGO} - {CONTACTS_LEFT} > 0)"
    f" and ignoring (state) {once(of_campaign('campaign_state', _DIALS))})"
)
"""Unix time when no contact is left, at the net fall of the last hour; none where they do not fall or it is off."""
CONTACTS_OR_QUEUED_LEFT = (
    f"({CONTACTS_LEFT} or sum without (agent, state) ("
    + once(of_campaign("campaign_queued_contacts", 'state="open"'))
    + "))"
)
"""Contacts left (Anyreach), or contacts in open queues (OSVI)."""

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

LOST_SHARE = f"(({FAILED_SHARE}) or ({EXHAUSTED_SHARE}))"
"""Calls that failed (OSVI), contacts that ran out of attempts (Anyreach)."""

DATA_AGE = f"(time() - {once(of_campaign('campaign_last_success_timestamp_seconds'))})"
"""Seconds since a campaign's last successful poll."""

_SINCE_PROGRESS = f"time() - {once(of_campaign('campaign_last_progress_timestamp_seconds'))}"
_SINCE_EXPECTED = f"time() - {once(of_campaign('campaign_dialing_expected_since_timestamp_seconds'))}"
SILENCE = f"(({_SINCE_PROGRESS}) < ({_SINCE_EXPECTED}) or ({_SINCE_EXPECTED}))"
"""Seconds without progress, while dialing is expected."""

_NO_REASON = f'label_replace({once(of_campaign("campaign_up"))} == 1, "reason", "none", "", "")'
REASON = newest_label(f"({once(of_campaign('campaign_poll_error'))} == 1 or ignoring (reason) {_NO_REASON})", "reason")
"""Why the last poll failed, `none` where it did not, so that the column is there for every provider."""

ACCOUNT_CALLS = once(of_account("campaign_account_active_calls"))
ACCOUNT_LIMIT = once(of_account("campaign_account_concurrency_limit"))
UTILIZATION = once(of_account("campaign_account_utilization_ratio"))
"""Average use of the cap over the last ten minutes."""
CONTACTS_WAITING = once(of_account("campaign_account_contacts_waiting"))


def answered(offset: str) -> str:
    """Share of all chosen OSVI calls that somebody picked up, now or with a PromQL `offset`."""
    calls = "campaign_observed_calls_total"
    picked, all_calls = (
        once(f"rate({of_campaign(calls, matcher)}[$__rate_interval]{offset})") for matcher in (_PICKED, "")
    )
    return f"sum({picked}) / (sum({all_calls}) > 0)"
