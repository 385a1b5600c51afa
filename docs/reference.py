"""
Writes `docs/metrics.md` and `docs/configuration.md` from the tables and the model that the exporter itself runs on.

Run as `python -m docs.reference`. A test compares the result with what is committed.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from exporter.campaign.standing import Standing
from exporter.config.fields import format_duration
from exporter.config.flags import options
from exporter.config.model import AccountSettings
from exporter.exposition.account_families import ACCOUNT_FAMILIES, POLLING_FAMILIES
from exporter.exposition.attempt_families import ATTEMPT_FAMILIES, ATTEMPT_READING_FAMILIES
from exporter.exposition.board import Board
from exporter.exposition.families import CAMPAIGN_FAMILIES
from exporter.exposition.own import Instruments
from exporter.exposition.page import Exposition
from exporter.providers.errors import PollError
from exporter.ui.states import WORDS

DOCS = Path(__file__).parent


def metrics() -> str:
    """The reference of all metrics."""
    return f"""\
# Metrics

<!--
Written by python -m docs.reference. Edit instead, in exporter/exposition/: families.py (campaigns), attempt_families.py
(single attempts), account_families.py (organizations, polling), own.py and page.py (the exporter itself); for states
exporter/ui/states.py, for results exporter/providers/errors.py, for everything else docs/reference.py.
-->

A number that the provider did not send, or sent as something that is no such number, is no sample and never 0.
A campaign that fails keeps its last values for `campaign_stale_after_seconds`; then only its `campaign_info`, its
health (`campaign_up`, `campaign_poll_error`, `campaign_poll_interval_seconds`, `campaign_stale_after_seconds`,
`campaign_last_success_timestamp_seconds`, `campaign_stall_after_seconds`), its counters and the status of a closed
campaign remain.
A campaign that leaves the configuration, or the listing, takes all its series along.

The values are those of the last poll: a scrape never causes a request to a provider.

## Campaigns

Every series carries `provider`, `account`, `campaign` and the configured labels, besides the labels named here.

{_table((row.name, row.type, row.labels, row.help) for row in CAMPAIGN_FAMILIES)}

Reasons of `campaign_poll_error` are those of `campaign_exporter_polls_total` below, without `success`.

## States

`campaign_state`, the page, the JSON interface and the alerts have one definition of where a campaign stands: the first
of these that holds. Progress is attempts, calls, completed or exhausted contacts that rose, or a number in progress
that changed. A refused token (`CampaignAccountUnauthorized`) and a campaign that the provider does not know
(`CampaignNotFound`) have alerts of their own, from the first failed poll on.

| State | Meaning | What to do | Alert |
| --- | --- | --- | --- |
{_states()}

## Single attempts

With `attempts` configured, every campaign's contacts with their attempts (Anyreach), or the account's call log (OSVI),
are read too, at most every `attempts.refresh_interval`. Gauges hold what the last complete reading has found; a reading
with less than 98 % of the attempts is incomplete and changes nothing. The histogram and the counters count each attempt
or call once, when a reading sees that it has ended; those that ended before the first reading are left out. Every
series carries `provider`, `account`, `campaign` and the configured labels.

{_table((row.name, row.type, row.labels, row.help) for row in ATTEMPT_FAMILIES)}

Every series of these two carries `provider`, `account` and the account's labels.

{_table((row.name, row.type, row.labels, row.help) for row in ATTEMPT_READING_FAMILIES)}

## Organizations

Every series carries `provider`, `account` and the account's labels. Only Anyreach reports calls in flight.

{_table((row.name, row.type, row.labels, row.help) for row in ACCOUNT_FAMILIES)}

## How the polling goes

Every series carries `provider`, `account` and the account's labels.

{_table((row.name, row.type, row.labels, row.help) for row in POLLING_FAMILIES)}

| `result` | The poll |
| --- | --- |
{_reasons()}

## The exporter itself

{_table((_exposed(family), family.type, _labels(family), family.documentation) for family in _own_families())}

Besides these, the usual `process_*` and `python_*` of the client library.
"""


def _states() -> str:
    rows = ((state, WORDS[state]) for state in Standing)
    return "\n".join(
        f"| `{state}` | {words.meaning} | {words.advice or ''} | {_code(words.alert) if words.alert else ''} |"
        for state, words in rows
    )


def _reasons() -> str:
    rows = [("success", "succeeded")]
    rows += [(error.reason, (error.__doc__ or "").strip().splitlines()[0]) for error in PollError.__subclasses__()]
    return "\n".join(f"| `{reason}` | {text} |" for reason, text in rows)


def _own_families() -> Iterable[Metric]:
    registry = CollectorRegistry()
    Instruments(registry, "", "")
    Exposition(Board(), tuple, registry, lambda: 0.0)
    return registry.collect()


def _exposed(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


def _labels(family: Metric) -> tuple[str, ...]:
    names = dict.fromkeys(label for sample in family.samples for label in sample.labels if label != "le")
    return tuple(names)


def _table(rows: Iterable[tuple[str, str, tuple[str, ...], str]]) -> str:
    lines = ["| Metric | Type | Labels | Meaning |", "| --- | --- | --- | --- |"]
    for name, kind, labels, text in rows:
        lines.append(f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {text} |")
    return "\n".join(lines)


def configuration() -> str:
    """The reference of all settings."""
    rows = [
        f"| `{'.'.join(option.key)}` | `{option.flag}` | `{option.variable}` | {_code(option.default)} "
        f"| {option.field.description or ''} |"
        for option in options()
        if option.key != ("accounts",)
    ]
    account = "\n".join(_account_rows(AccountSettings, ""))
    return f"""\
# Configuration

<!-- Written by python -m docs.reference; edit exporter/config/model.py, or for the text docs/reference.py, instead. -->

One model reads the file, the environment and the flags. A flag wins over a variable, a variable over the file, and the
file over the default; a list is replaced as a whole. Unknown keys and variables are errors, and all errors are reported
together. `deploy/campaign-exporter.example.yml` has every key, with a comment; `deploy/anyreach.example.yml` and
`deploy/osvi.example.yml` are the smallest files that work.

The file is `campaign-exporter.yml` in the working directory, or the one that `--config.file` names.
Durations are written as Prometheus writes them: `500ms`, `15s`, `1m30s`, `2h`, `1d`.

## For the whole process

| Key | Flag | Variable | Default | Meaning |
| --- | --- | --- | --- | --- |
{chr(10).join(rows)}

`--config.file` and `--version` are flags only.

## Accounts

`accounts` is a list, in the file or as JSON in `CAMPAIGN_EXPORTER_ACCOUNTS`.

| Key | Default | Meaning |
| --- | --- | --- |
{account}
"""


def _account_rows(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner, is_list = _section(field)
        key = f"{prefix}{name}{'[]' if is_list else ''}"
        yield f"| `{key}` | {_default(field)} | {' '.join((field.description or '').split())} |"
        if inner is not None:
            yield from _account_rows(inner, f"{key}.")


def _section(field: FieldInfo) -> tuple[type[BaseModel] | None, bool]:
    """The model behind a field, and whether the field is a list of it."""

    def search(annotation: Any) -> type[BaseModel] | None:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return annotation
        return next((found for part in get_args(annotation) if (found := search(part))), None)

    found = search(field.annotation)
    return found, found is not None and getattr(field.annotation, "__origin__", None) is tuple


def _default(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=False)
    if field.is_required():
        return "required"
    if default in (None, "", ()) or isinstance(default, BaseModel) or field.default_factory is not None:
        return ""
    if isinstance(default, bool):
        return _code(str(default).lower())
    if isinstance(default, float) and "per_second" not in str(field.description):
        return _code(format_duration(default)) if _is_duration(field) else _code(f"{default:g}")
    return _code(", ".join(map(str, default)) if isinstance(default, tuple) else str(default))


def _is_duration(field: FieldInfo) -> bool:
    return any("duration" in repr(part).lower() for part in field.metadata)


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def documents() -> dict[Path, str]:
    """Each document by its file."""
    return {DOCS / "metrics.md": metrics(), DOCS / "configuration.md": configuration()}


def main() -> None:
    for path, text in documents().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
