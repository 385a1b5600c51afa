"""
PromQL of the dashboards.

Every selector names `job` and `instance`, and replicas are counted once by `max without (instance, pod)` around the
raw series or their rate. Recorded series have neither label, so none is used.
"""

from collections.abc import Callable

EXPORTER = 'job=~"$job", instance=~"$instance", cluster=~"$cluster"'
ACCOUNT = EXPORTER + ', provider=~"$provider", account=~"$account"'
KEY = ("cluster", "provider", "account", "campaign")
"""What makes a row of its own in a table; only targets that name their cluster have the first."""
ACCOUNT_KEY = KEY[:-1]
CAMPAIGN = ACCOUNT + ', campaign=~"$campaign"'


def of_exporter(metric: str) -> str:
    """Selector of a series of the process."""
    return f"{metric}{{{EXPORTER}}}"


def rate(selector: str) -> str:
    """Rate of a counter a second, over the range that Grafana finds fit."""
    return f"rate({selector}[$__rate_interval])"


def of_process(metric: str) -> str:
    """Selector of a series that every process has, narrowed to those that are exporters."""
    return f"({of_exporter(metric)} and on (job, instance) {of_exporter('campaign_exporter_build_info')})"


_EXPORTERS = of_exporter("campaign_exporter_build_info")
BUSY = f"({rate(of_exporter('process_cpu_seconds_total'))} and on (job, instance) {_EXPORTERS})"
"""Processor seconds a second of each exporter."""
_SEEN = f"max by (job, instance) ({_EXPORTERS})"
UP = f"({of_exporter('up')} and on (job, instance) max_over_time({_SEEN}[1d:1m]))"
"""Whether each target answers that was an exporter within the last day; other jobs have `up` too."""


def of_account(metric: str, matcher: str = "") -> str:
    """Selector of an account's series, narrowed by one more matcher where given."""
    return f"{metric}{{{ACCOUNT}{', ' + matcher if matcher else ''}}}"


def of_campaign(metric: str, matcher: str = "") -> str:
    """Selector of a campaign's series, narrowed by one more matcher where given."""
    return f"{metric}{{{CAMPAIGN}{', ' + matcher if matcher else ''}}}"


def once(vector: str) -> str:
    """Count replicas once: of equal series of several instances the largest."""
    return f"max without (instance, pod) ({vector})"


def per_campaign(vector: str, *labels: str) -> str:
    """Drop the labels that a table would show as columns of their own: job, users' labels, target labels."""
    return f"max by ({', '.join((*KEY, *labels))}) ({vector})"


def newest_label(vector: str, label: str) -> str:
    """One row for each campaign, also while two replicas disagree on a label for the length of a poll."""
    return per_campaign(f"topk by ({', '.join(KEY)}) (1, {vector})", label)


def per_account(vector: str) -> str:
    """The same for what belongs to an account."""
    return f"max by ({', '.join(ACCOUNT_KEY)}) ({vector})"


_EMPTY_ACCOUNTS = per_account(f"{once(of_account('campaign_exporter_campaigns'))} == 0")
CHOSEN_ACCOUNTS = f"({per_account(once(of_campaign('campaign_state')))} or {_EMPTY_ACCOUNTS})"
"""Accounts of the chosen campaigns, and those without any campaign, which no choice of campaigns leaves out."""


def of_chosen(vector: str) -> str:
    """Those of an account's series that belong to the chosen campaigns."""
    return f"({vector} and on ({', '.join(ACCOUNT_KEY)}) {CHOSEN_ACCOUNTS})"


def quantile(share: float, buckets: str, *labels: str) -> str:
    """Quantile over the selector of a histogram's buckets, for each combination of the labels."""
    whole = f"histogram_quantile({share}, sum by ({', '.join(('le', *labels))}) ({once(rate(buckets))}))"
    # Without an observation it is not a number, which is no sample here.
    return f"{whole} >= 0"


_DONE = 'bucket=~"completed|exhausted"'
_LEFT = 'bucket=~"pending|in_progress"'
_COMPLETED_QUEUES = of_campaign("campaign_queues", 'state="completed"')

ATTEMPTS_RATE = (
    f"({once(rate(of_campaign('campaign_observed_attempts_total')))}"
    f" or sum without (status) ({once(rate(of_campaign('campaign_observed_calls_total')))}))"
)
"""Attempts (Anyreach) or calls (OSVI) a second, by campaign."""

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
DIALING = once(of_campaign("campaign_state", _DIALS))
_FINISHED = once(rate(of_campaign("campaign_observed_contacts_total")))
_FINISH = f"time() + 3600 * {CONTACTS_LEFT} / ({_AN_HOUR_AGO} - {CONTACTS_LEFT} > 0)"
_REFILLED = f"{CONTACTS_LEFT} * 0 and {_AN_HOUR_AGO} and sum without (bucket) ({_FINISHED}) > 0"
_NOT_FALLING = f"{CONTACTS_LEFT} * 0 - 1 and {_AN_HOUR_AGO}"
EXPECTED_FINISH = f"((({_FINISH}) * 1000 or {_REFILLED} or {_NOT_FALLING}) and ignoring (state) {DIALING})"
"""
Unix time in milliseconds when no contact is left, at the net fall of the last hour, while the campaign dials.

0 where as many contacts arrive as end, -1 where none ends.
"""
FINISH_WORDS = {"0": "refilled", "-1": "not falling"}
"""Why a campaign that dials has no finish."""
CONTACTS_OR_QUEUED_LEFT = (
    f"({CONTACTS_LEFT} or sum without (agent, state) ("
    + once(of_campaign("campaign_queued_contacts", 'state="open"'))
    + "))"
)
"""Contacts left (Anyreach), or contacts in open queues (OSVI)."""

Pace = Callable[[str], str]
"""How fast a counter rises, from its selector."""


def lately(selector: str) -> str:
    """Rate a second over the range that Grafana finds fit, replicas once."""
    return once(rate(selector))


def over_an_hour(selector: str, offset: str = "") -> str:
    """Rate a second over the last hour, replicas once; without waiting for a step of an hour to be over."""
    return f"avg_over_time({lately(selector)}[1h:1m]{offset})"


def _share(metric: str, label: str, value: str, pace: Pace) -> str:
    part, whole = pace(of_campaign(metric, f'{label}="{value}"')), pace(of_campaign(metric))
    return f"{part} / ignoring ({label}) (sum without ({label}) ({whole}) > 0)"


def answered_share(pace: Pace) -> str:
    """Share of OSVI's calls that somebody picked up, by campaign."""
    return _share("campaign_observed_calls_total", "status", "picked", pace)


def lost_share(pace: Pace) -> str:
    """Share of calls that failed (OSVI), of ended contacts that ran out of attempts (Anyreach), by campaign."""
    failed = _share("campaign_observed_calls_total", "status", "failed", pace)
    exhausted = _share("campaign_observed_contacts_total", "bucket", "exhausted", pace)
    return f"({failed} or {exhausted})"


def shares(metric: str, label: str) -> str:
    """Shares of a counter of all chosen campaigns by a label, over the last hour."""
    parts = f"sum by ({label}) ({over_an_hour(of_campaign(metric))})"
    return f"{parts} / ignoring ({label}) group_left () (sum({over_an_hour(of_campaign(metric))}) > 0)"


DATA_AGE = f"(time() - {once(of_campaign('campaign_last_success_timestamp_seconds'))})"
"""Seconds since a campaign's last successful poll."""

_CLOSED = once(of_campaign("campaign_state", 'state="closed"'))
OPEN_DATA_AGE = f"({DATA_AGE} unless ignoring (state) {_CLOSED})"
"""The same without closed campaigns, which are polled once an hour."""

_SINCE_PROGRESS = f"time() - {once(of_campaign('campaign_last_progress_timestamp_seconds'))}"
_SINCE_EXPECTED = f"time() - {once(of_campaign('campaign_dialing_expected_since_timestamp_seconds'))}"
SILENCE = f"(({_SINCE_PROGRESS}) < ({_SINCE_EXPECTED}) or ({_SINCE_EXPECTED}))"
"""Seconds without progress, while dialing is expected."""

SHOWN_NAME = newest_label(
    f'label_replace(label_replace({once(of_campaign("campaign_info"))}, "name", "$1", "campaign", "(.+)"),'
    ' "name", "$1", "campaign_name", "(.+)")',
    "name",
)
"""Each campaign with what a person knows it by, as label `name`: the provider's name, else the campaign's id."""

ACCOUNT_LIMIT = of_chosen(once(of_account("campaign_account_concurrency_limit")))
UTILIZATION = of_chosen(once(of_account("campaign_account_utilization_ratio")))
"""Average use of the concurrency limit over the last ten minutes."""
CONTACTS_WAITING = of_chosen(once(of_account("campaign_account_contacts_waiting")))


def answered(offset: str) -> str:
    """Share of all chosen OSVI calls that somebody picked up within an hour, now or with a PromQL `offset`."""
    calls = "campaign_observed_calls_total"
    picked, ended = (over_an_hour(of_campaign(calls, matcher), offset) for matcher in ('status="picked"', ""))
    return f"sum({picked}) / (sum({ended}) > 0)"
