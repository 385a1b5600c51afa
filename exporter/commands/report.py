"""What `check` has found, as a table for people and as JSON for programs."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from exporter.campaign.labels import clean
from exporter.campaign.snapshot import CALLS_IN_PROGRESS, Snapshot
from exporter.commands.check import AccountReport, CampaignReport, HoursGap
from exporter.commands.terminal import printable
from exporter.config.fields import format_duration
from exporter.config.model import PollSettings
from exporter.providers.advice import advice
from exporter.providers.errors import PollError

_NONE = "-"
_NARROW = 80
_NAMES_SHOWN = 3

_WITHOUT_HOURS = {
    HoursGap.NOT_TOLD: "the provider does not tell them",
    HoursGap.NOT_ASKED: "calling_windows is unknown",
    HoursGap.FORBIDDEN: "the token may not read campaigns and configurations",
    HoursGap.NOT_READ: "the provider's answer about them failed or can't be understood",
}
_HOURS_ADVICE = {
    HoursGap.NOT_TOLD: "write `calling_hours`, or `calling_windows: always` where they are dialed round the clock",
    HoursGap.NOT_ASKED: "set `calling_windows` to auto or always, or write `calling_hours`",
    HoursGap.FORBIDDEN: "give the token the scope `campaigns:read`, or write `calling_hours`",
    HoursGap.NOT_READ: "try again, or write `calling_hours` or `calling_windows: always`",
}


@dataclass(frozen=True, slots=True)
class Report:
    """
    All of a check.

    Attributes:
        asked: Whether the campaigns were polled; False for `--offline`.
        warnings: Those of the settings.
        redact: Takes the secrets out of a text; a provider may repeat what it was sent.
    """

    accounts: Sequence[AccountReport]
    poll: PollSettings
    asked: bool
    warnings: Sequence[str]
    redact: Callable[[str], str]

    @property
    def ok(self) -> bool:
        """Whether every poll and every listing has succeeded."""
        return all(account.ok for account in self.accounts)

    def notes(self) -> list[str]:
        """Further notes, a sentence or two each."""
        found = [f"{warning[:1].upper()}{warning[1:]}." for warning in self.warnings]
        for account in self.accounts:
            if self.asked and account.stretch > 1:
                found.append(self._stretched(account))
            for gap, campaigns in account.hours_gaps.items():
                found.append(
                    f"Account {account.account.name!r}: the hours of {_number(campaigns, 'campaign')} are not known "
                    f"({_WITHOUT_HOURS[gap]}), so that a stall can't be told from a quiet hour: {_HOURS_ADVICE[gap]}. "
                    "For inbound campaigns set `stall_after: never`."
                )
            if closed := sum(campaign.windows == 0 for campaign in account.campaigns):
                found.append(
                    f"Account {account.account.name!r}: {_number(closed, 'campaign')} can never be dialed, since the "
                    "configuration at the provider has no calling windows."
                )
        return found

    def _stretched(self, account: AccountReport) -> str:
        poll, stretch = self.poll, account.stretch
        intervals = ", ".join(
            f"{name} ones from {format_duration(base)} to {_seconds(base * stretch)}"
            for name, base in (("active", poll.active_interval), ("idle", poll.idle_interval))
        )
        return (
            f"Account {account.account.name!r}: all intervals are stretched by {stretch:.3g} ({intervals}), since "
            f"{_number(len(account.campaigns), 'campaign')} would need {account.demand:.3g} requests a second and "
            f"max_requests_per_second is {account.account.max_requests_per_second:g}."
        )


# ---------------------------------------------------------------------------------------------------------------------
# Text


def write_text(report: Report, console: Console) -> None:
    """Write a table of the campaigns, what to do about each failure, and further notes."""

    def show(text: str) -> str:
        return printable(report.redact(text))

    campaigns = sum(len(account.campaigns) for account in report.accounts)
    if not report.asked:
        summary = f"The configuration is right: {_number(len(report.accounts), 'account')}, "
        _paragraph(console, summary + f"{_number(campaigns, 'campaign')}. Nothing was sent.")
    else:
        if campaigns:
            rows = [_row(account, campaign, show) for account in report.accounts for campaign in account.campaigns]
            console.print(_laid_out(rows, console))
        for failure in _failures(report):
            _paragraph(console, show(failure), style="red")
        succeeded = campaigns - sum(account.failed for account in report.accounts)
        _paragraph(console, f"{succeeded} of {_number(campaigns, 'campaign')} answered.", style="bold")
    for note in report.notes():
        _paragraph(console, f"Note: {show(note)}")


def _paragraph(console: Console, text: str, *, style: str = "") -> None:
    console.print(Text(text, style=style))


@dataclass(frozen=True, slots=True)
class _Row:
    account: str
    campaign: str
    status: str
    progress: str
    calls: str
    latency: str
    problem: str


def _row(account: AccountReport, campaign: CampaignReport, show: Callable[[str], str]) -> _Row:
    name = campaign.name
    if campaign.display_name and name == clean(campaign.id):
        name = f"{campaign.display_name} ({name})"
    snapshot = campaign.snapshot or Snapshot()
    return _Row(
        account=show(account.account.name),
        campaign=show(name),
        status=show(clean(snapshot.status)) if snapshot.status else _NONE,
        progress=_progress(snapshot),
        calls=_calls(snapshot),
        latency=_NONE if campaign.seconds is None else _seconds(campaign.seconds),
        problem=campaign.error.reason if campaign.error else "",
    )


def _progress(snapshot: Snapshot) -> str:
    """Contacts that are done of all contacts, or calls made."""
    if snapshot.contacts is None:
        return _NONE if snapshot.calls_made is None else f"{_exact(snapshot.calls_made)} calls"
    done = [snapshot.contacts[bucket] for bucket in ("completed", "exhausted") if bucket in snapshot.contacts]
    total = snapshot.contacts_loaded
    return f"{_exact(sum(done)) if done else '?'}/{'?' if total is None else _exact(total)}"


def _calls(snapshot: Snapshot) -> str:
    """Calls in flight, of as many as there may be."""
    if snapshot.calls is not None:
        in_progress = snapshot.calls.get(CALLS_IN_PROGRESS)
        return _NONE if in_progress is None else _exact(in_progress)
    if snapshot.active_calls is None and snapshot.concurrency_limit is None:
        return _NONE
    return "/".join(
        "?" if value is None else _exact(value) for value in (snapshot.active_calls, snapshot.concurrency_limit)
    )


def _laid_out(rows: Sequence[_Row], console: Console) -> RenderableType:
    """A table, or blocks of lines where it would not fit."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for title, least in (("Account", 8), ("Campaign", 16)):
        table.add_column(title, overflow="fold", min_width=least)
    table.add_column("Status", overflow="fold", min_width=8)
    for title in ("Progress", "Calls", "Latency"):
        table.add_column(title, overflow="fold", justify="right")
    table.add_column("Problem", overflow="fold", min_width=12)
    for row in rows:
        cells = (row.account, row.campaign, row.status, row.progress, row.calls, row.latency)
        table.add_row(*map(Text, cells), Text(row.problem, style="red"))
    if console.width >= _NARROW:
        return table
    return Group(*(line for row in rows for line in _block(row)))


def _block(row: _Row) -> Iterator[Text]:
    yield Text(f"{row.account}: {row.campaign}", style="bold")
    if row.problem:
        yield Text(f"  {row.problem}", style="red")
    else:
        calls = "" if row.calls == _NONE else f", {row.calls} calls in flight"
        yield Text(f"  {row.status}, {row.progress} done{calls}, {row.latency}")


def _failures(report: Report) -> Iterator[str]:
    """A line for each kind of failure of each account: which campaigns, what, and what to do."""
    for account in report.accounts:
        name = account.account.name
        if account.listing_error:
            words = advice(account.listing_error.reason, account.account)
            yield f"{name}: the campaigns could not all be listed: {_problem(account.listing_error)}. {words}"
        if account.listing_problem:
            yield f"{name}: the campaigns could not all be listed: {account.listing_problem}."
        kinds: dict[tuple[str, str], list[str]] = {}
        for campaign in account.campaigns:
            if campaign.error:
                kinds.setdefault((campaign.error.reason, _problem(campaign.error)), []).append(campaign.name)
        for (reason, problem), names in kinds.items():
            more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
            yield f"{name}: {', '.join(names[:_NAMES_SHOWN])}{more}: {problem}. {advice(reason, account.account)}"


def _problem(error: PollError) -> str:
    return f"{error.reason}: {error}"


def _number(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _exact(value: float) -> str:
    return f"{value:.15g}"


def _seconds(seconds: float) -> str:
    """A duration, rounded for reading."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    return format_duration(round(seconds, 1) if seconds < 10 else round(seconds))


# ---------------------------------------------------------------------------------------------------------------------
# JSON


def as_json(report: Report) -> str:
    """
    Write the report as one JSON document, in ASCII.

    It is an object of

    - `ok`: whether every poll and every listing has succeeded;
    - `offline`: whether nothing was sent;
    - `accounts`: a list of `account`, `provider`, `campaigns` (their number), `failed` (the number of those that
      failed), `interval_stretch` (1 for none; null offline), `hours_unknown` (number of campaigns by `not_told`,
      `not_asked`, `forbidden`, `not_read`), and `listing_problem` (null where the listing was complete or none was
      asked for);
    - `campaigns`: a list of `account`, `provider`, `campaign` (the label), `id`, `name` (the provider's),
      `discovered`, `up` (null offline), `status`, `contacts` (number by bucket), `contacts_loaded`, `calls` (number
      by outcome), `calls_made`, `active_calls`, `concurrency_limit`, `latency_seconds` (null where nothing was sent),
      `reason`, `problem` and `advice` (null unless it failed);
    - `notes`: a list of sentences.

    What the provider did not say is null.
    """
    document = {
        "ok": report.ok,
        "offline": not report.asked,
        "accounts": [_account(report, account) for account in report.accounts],
        "campaigns": [
            _campaign(report, account, campaign) for account in report.accounts for campaign in account.campaigns
        ],
        "notes": [report.redact(note) for note in report.notes()],
    }
    return json.dumps(document, indent=2)


def _account(report: Report, account: AccountReport) -> dict[str, Any]:
    problem = _problem(account.listing_error) if account.listing_error else account.listing_problem
    return {
        "account": account.account.name,
        "provider": account.account.provider,
        "campaigns": len(account.campaigns),
        "failed": account.failed,
        "interval_stretch": account.stretch if report.asked else None,
        "hours_unknown": {gap.value: number for gap, number in account.hours_gaps.items()},
        "listing_problem": report.redact(problem) if problem else None,
    }


def _campaign(report: Report, account: AccountReport, campaign: CampaignReport) -> dict[str, Any]:
    def text(value: str | None) -> str | None:
        return None if value is None else report.redact(clean(value))

    def by_key(numbers: Mapping[str, float] | None) -> dict[str, float] | None:
        return None if numbers is None else {report.redact(clean(key)): number for key, number in numbers.items()}

    snapshot, error = campaign.snapshot or Snapshot(), campaign.error
    return {
        "account": account.account.name,
        "provider": account.account.provider,
        "campaign": report.redact(campaign.name),
        "id": report.redact(campaign.id),
        "name": text(campaign.display_name),
        "discovered": campaign.discovered,
        "up": error is None if report.asked else None,
        "status": text(snapshot.status),
        "contacts": by_key(snapshot.contacts),
        "contacts_loaded": snapshot.contacts_loaded,
        "calls": by_key(snapshot.calls),
        "calls_made": snapshot.calls_made,
        "active_calls": snapshot.active_calls,
        "concurrency_limit": snapshot.concurrency_limit,
        "latency_seconds": campaign.seconds,
        "reason": error.reason if error else None,
        "problem": report.redact(str(error)) if error else None,
        "advice": advice(error.reason, account.account) if error else None,
    }
