"""What `check` has found, as a table for people and as JSON for programs."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from exporter.campaign.labels import clean, printable
from exporter.campaign.snapshot import CALLS_IN_PROGRESS, Snapshot
from exporter.commands.check import AccountReport, CampaignReport, HoursGap
from exporter.config.fields import format_duration
from exporter.config.model import AccountSettings, PollSettings
from exporter.providers.advice import HOURS_NOT_READ, advice

_NONE = "-"
_NARROW = 80
_NAMES_SHOWN = 3
_COLUMNS = (
    *(("Account", 8), ("Campaign", 16), ("Status", 8)),
    *(("Progress", None), ("Calls", None), ("Latency", None), ("Problem", 12)),
)
"""Titles, with the least width of those with text; the others hold numbers."""

_WITHOUT_HOURS = {
    HoursGap.NOT_TOLD: (
        "the provider does not tell them",
        "write `calling_hours`, or `calling_windows: always` where they are dialed round the clock",
    ),
    HoursGap.NOT_ASKED: (
        "calling_windows is unknown",
        "set `calling_windows` to auto or always, or write `calling_hours`",
    ),
    HoursGap.FORBIDDEN: (
        "the token may not read campaigns and configurations",
        "give the token the scope `campaigns:read`, or write `calling_hours`",
    ),
    HoursGap.NOT_READ: (
        "the provider's answer about them failed or can't be understood",
        HOURS_NOT_READ,
    ),
}
"""Why the hours are not known, and what to do about it."""


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

    def document(self) -> dict[str, Any]:
        """All of it as plain values, as docs/check.md describes; what the provider did not say is None."""
        return {
            "ok": self.ok,
            "offline": not self.asked,
            "accounts": [self._account(account) for account in self.accounts],
            "campaigns": [
                self._campaign(account.account, campaign) for account in self.accounts for campaign in account.campaigns
            ],
            "notes": [self.redact(note) for note in self.notes()],
        }

    def _account(self, account: AccountReport) -> dict[str, Any]:
        error = account.listing_error
        problem = f"{error.reason}: {error}" if error else account.listing_problem
        return {
            "account": account.account.name,
            "provider": account.account.provider,
            "campaigns": len(account.campaigns),
            "failed": account.failed,
            "interval_stretch": account.stretch if self.asked else None,
            "hours_unknown": {gap.value: number for gap, number in account.hours_gaps.items()},
            "listing_problem": self.redact(problem) if problem else None,
        }

    def _campaign(self, account: AccountSettings, campaign: CampaignReport) -> dict[str, Any]:
        def text(value: str | None) -> str | None:
            return None if value is None else self.redact(clean(value))

        def by_key(numbers: Mapping[str, float] | None) -> dict[str, float] | None:
            return None if numbers is None else {self.redact(clean(key)): number for key, number in numbers.items()}

        snapshot, error = campaign.snapshot or Snapshot(), campaign.error
        return {
            "account": account.name,
            "provider": account.provider,
            "campaign": self.redact(campaign.name),
            "id": self.redact(campaign.id),
            "name": text(campaign.display_name),
            "discovered": campaign.discovered,
            "up": error is None if self.asked else None,
            "status": text(snapshot.status),
            "contacts": by_key(snapshot.contacts),
            "contacts_loaded": snapshot.contacts_loaded,
            "calls": by_key(snapshot.calls),
            "calls_made": snapshot.calls_made,
            "active_calls": snapshot.active_calls,
            "concurrency_limit": snapshot.concurrency_limit,
            "latency_seconds": campaign.seconds,
            "reason": error.reason if error else None,
            "problem": self.redact(str(error)) if error else None,
            "advice": advice(error.reason, account) if error else None,
        }

    def notes(self) -> list[str]:
        """Further notes, a sentence or two each."""
        found = [f"{warning[:1].upper()}{warning[1:]}." for warning in self.warnings]
        for account in self.accounts:
            if self.asked and account.stretch > 1:
                found.append(self._stretched(account))
            for gap, campaigns in account.hours_gaps.items():
                why, what_to_do = _WITHOUT_HOURS[gap]
                errors = [one.hours_error for one in account.campaigns if one.hours_error and one.hours_gap is gap]
                why += f": {errors[0]}" if errors else ""
                found.append(
                    f"Account {account.account.name!r}: the hours of {_number(campaigns, 'campaign')} are not known "
                    f"({why}), so that a stall can't be told from a quiet hour: {what_to_do}. "
                    "For inbound campaigns set `stall_after: never`."
                )
            if closed := sum(campaign.windows == 0 for campaign in account.campaigns):
                found.append(
                    f"Account {account.account.name!r}: {_number(closed, 'campaign')} can never be dialed, since the "
                    "configuration at the provider has no calling windows."
                )
            answers = (campaign.snapshot for campaign in account.campaigns)
            if unclear := sum(answer is not None and answer.work_remaining is None for answer in answers):
                found.append(
                    f"Account {account.account.name!r}: the answers about {_number(unclear, 'campaign')} do not say "
                    "whether work is left (by contacts pending and in progress, or by queues with `completed`), so "
                    "that a stall can't be detected."
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


def as_json(report: Report) -> str:
    """Write the report's document as JSON in ASCII."""
    return json.dumps(report.document(), indent=2)


def write_text(report: Report, console: Console) -> None:
    """Write a table of the campaigns, what to do about each failure, and further notes."""
    document = report.document()
    campaigns, notes = document["campaigns"], document["notes"]
    if document["offline"]:
        summary = f"The configuration is right: {_number(len(report.accounts), 'account')}, "
        _paragraph(console, summary + f"{_number(len(campaigns), 'campaign')}. Nothing was sent.")
    else:
        if campaigns:
            console.print(_laid_out([_cells(campaign) for campaign in campaigns], console))
        for failure in _failures(report, document):
            _paragraph(console, printable(failure), style="red")
        succeeded = sum(campaign["up"] for campaign in campaigns)
        _paragraph(console, f"{succeeded} of {_number(len(campaigns), 'campaign')} answered.", style="bold")
    for note in notes:
        _paragraph(console, f"Note: {printable(note)}")


def _paragraph(console: Console, text: str, *, style: str = "") -> None:
    console.print(Text(text, style=style))


def _cells(campaign: Mapping[str, Any]) -> list[str]:
    """The texts of a row, by `_COLUMNS`."""
    name, latency = campaign["campaign"], campaign["latency_seconds"]
    if campaign["name"] and name == clean(campaign["id"]):
        name = f"{campaign['name']} ({name})"
    return [
        printable(campaign["account"]),
        printable(name),
        printable(campaign["status"] or _NONE),
        _progress(campaign),
        _calls(campaign),
        _NONE if latency is None else _seconds(latency),
        campaign["reason"] or "",
    ]


def _progress(campaign: Mapping[str, Any]) -> str:
    """Contacts that are done of all contacts, or calls made."""
    contacts, total = campaign["contacts"], campaign["contacts_loaded"]
    if contacts is None:
        return _NONE if campaign["calls_made"] is None else f"{_exact(campaign['calls_made'])} calls"
    done = [contacts[bucket] for bucket in ("completed", "exhausted") if bucket in contacts]
    return f"{_exact(sum(done) if done else None)}/{_exact(total)}"


def _calls(campaign: Mapping[str, Any]) -> str:
    """Calls in flight, of as many as there may be."""
    if campaign["calls"] is not None:
        return _exact(campaign["calls"].get(CALLS_IN_PROGRESS), unknown=_NONE)
    active, limit = campaign["active_calls"], campaign["concurrency_limit"]
    return _NONE if active is None and limit is None else f"{_exact(active)}/{_exact(limit)}"


def _laid_out(rows: Sequence[Sequence[str]], console: Console) -> RenderableType:
    """A table, or blocks of lines where it would not fit."""
    if console.width < _NARROW:
        return Group(*(line for row in rows for line in _block(*row)))
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for title, least in _COLUMNS:
        table.add_column(title, overflow="fold", min_width=least, justify="left" if least else "right")
    for *cells, problem in rows:
        table.add_row(*map(Text, cells), Text(problem, style="red"))
    return table


def _block(
    account: str, campaign: str, status: str, progress: str, calls: str, latency: str, problem: str
) -> Iterator[Text]:
    yield Text(f"{account}: {campaign}", style="bold")
    if problem:
        yield Text(f"  {problem}", style="red")
    else:
        in_flight = "" if calls == _NONE else f", {calls} calls in flight"
        yield Text(f"  {status}, {progress} done{in_flight}, {latency}")


def _failures(report: Report, document: Mapping[str, Any]) -> Iterator[str]:
    """A line for each kind of failure of each account: which campaigns, what, and what to do."""
    kinds: dict[str, dict[str, list[str]]] = {}
    for campaign in document["campaigns"]:
        if campaign["reason"]:
            kind = f"{campaign['reason']}: {campaign['problem']}. {campaign['advice']}"
            kinds.setdefault(campaign["account"], {}).setdefault(kind, []).append(campaign["campaign"])
    for account, found in zip(report.accounts, document["accounts"], strict=True):
        name, error = found["account"], account.listing_error
        if found["listing_problem"]:
            words = f" {advice(error.reason, account.account, listing=True)}" if error else ""
            yield f"{name}: the campaigns could not all be listed: {found['listing_problem']}.{words}"
        for kind, names in kinds.get(name, {}).items():
            more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
            yield f"{name}: {', '.join(names[:_NAMES_SHOWN])}{more}: {kind}"


def _number(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _exact(value: float | None, unknown: str = "?") -> str:
    return unknown if value is None else f"{value:.15g}"


def _seconds(seconds: float) -> str:
    """A duration, rounded for reading."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    return format_duration(round(seconds, 1) if seconds < 10 else round(seconds))
