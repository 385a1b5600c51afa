"""
The log: each record is one line of logfmt or JSON, with the secrets left out.

Fields are what a call gives as `extra`:

    log.info("campaign recovered", extra={"account": "acme", "campaign": "june"})
    ts=2026-11-21T23:00:00.123Z level=info logger=exporter.polling msg="campaign recovered" account=acme campaign=june

Much of it is a provider's text, so what is not printable is escaped.
"""

import json
import logging
import math
import re
import sys
import time
import traceback
from collections.abc import Callable
from typing import Literal, TextIO

# structlog imports rich for its console output, which is not used here. It would take 4 MB, and a tenth of the time to
# start.
_with_rich = "rich" in sys.modules
if not _with_rich:
    sys.modules["rich"] = None  # type: ignore[assignment]  # None makes the import fail
from structlog.processors import JSONRenderer  # noqa: E402 -- below what keeps rich out
from structlog.stdlib import ExtraAdder, ProcessorFormatter  # noqa: E402 -- as above
from structlog.typing import EventDict, Processor  # noqa: E402 -- as above

if not _with_rich:
    del sys.modules["rich"]

from exporter.campaign.labels import printable  # noqa: E402 -- as above
from exporter.config.model import LogSettings  # noqa: E402 -- as above

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
"""The levels by their names; anything worse than an error is counted and shown as one."""

_MAX_LENGTH = 16_384
_OF_OTHER_FORMATTERS = frozenset({"message", "asctime"})
_NEEDS_NO_QUOTES = re.compile(r"[A-Za-z0-9_./:@%+,*()\[\]{}~^&!?;|<>#$-]+")
_NOT_IN_KEYS = re.compile(r"[^A-Za-z0-9_.]")


def configure(
    settings: LogSettings,
    *,
    redact: Callable[[str], str],
    count: Callable[[str], None] = lambda level: None,
    stream: TextIO | None = None,
) -> None:
    """
    Send everything that is logged in this process to `stream`; called again, it replaces what it did before.

    Python's own warnings (`warnings.warn`) are logged too. Libraries are logged from `warning` on.

    Args:
        redact: Takes the secrets out of a text.
        count: Called with the level of each message: of those that are shown, and of all warnings and errors.
        stream: Standard error by default.
    """
    root, least = logging.getLogger(), LEVELS[settings.level]
    root.handlers[:] = [handler for handler in root.handlers if not isinstance(handler, _LineHandler)]
    root.addHandler(_LineHandler(stream or sys.stderr, LineFormatter(settings.format, redact), least, count))
    root.setLevel(min(least, logging.WARNING))
    for library in ("aiohttp", "asyncio"):
        logging.getLogger(library).setLevel(logging.WARNING)
    logging.captureWarnings(True)


class LineFormatter(ProcessorFormatter):
    """Runs each record through structlog's processors; never raises, whatever the record holds."""

    def __init__(self, form: Literal["logfmt", "json"], redact: Callable[[str], str]) -> None:
        render: Processor = _logfmt if form == "logfmt" else JSONRenderer(_json)
        super().__init__(foreign_pre_chain=[ExtraAdder()], processors=[_fields, _harden(redact), render])

    def format(self, record: logging.LogRecord) -> str:
        # A copy, because the arguments may not fit the message, and other handlers get the record too.
        fields = {key: value for key, value in vars(record).items() if key not in _OF_OTHER_FORMATTERS}
        safe = logging.makeLogRecord(fields)
        safe.msg, safe.args = _message(record), ()
        return super().format(safe)


def _fields(logger: object, method: str, event: EventDict) -> EventDict:
    """Bring the fields into their order, and give them their names."""
    record = event.pop("_record")
    del event["_from_structlog"]
    fields = {
        "ts": _timestamp(record.created),
        "level": level_name(record.levelno),
        "logger": record.name,
        "msg": event.pop("event"),
    }
    trace, stack = event.pop("exc_info", None), event.pop("stack_info", None)
    fields |= {key: value for key, value in event.items() if key not in fields}
    if trace:
        fields["trace"] = _trace(trace)
    if stack:
        fields["stack"] = stack
    return fields


def _harden(redact: Callable[[str], str]) -> Processor:
    """Make a processor that leaves secrets out, cuts what is too long, and turns unusual values into text."""

    def clean(value: object) -> object:
        if value is None or type(value) is bool or (type(value) is float and math.isfinite(value)):
            return value
        if type(value) is int and abs(value) < 10**15:
            return value
        # The secrets first: half of one that is cut off is still too much.
        text = redact(_text(value))
        return text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]}…"

    def process(logger: object, method: str, event: EventDict) -> EventDict:
        return {_NOT_IN_KEYS.sub("_", key) or "_": clean(value) for key, value in event.items()}

    return process


def _logfmt(logger: object, method: str, event: EventDict) -> str:
    # Not structlog's renderer, which leaves line separators and direction marks as they are.
    return " ".join(f"{key}={_logfmt_value(value)}" for key, value in event.items())


def _logfmt_value(value: object) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    text = str(value)
    return text if _NEEDS_NO_QUOTES.fullmatch(text) else quoted(text)


def _json(event: EventDict, **_: object) -> str:
    # What JSON lets stand though it is not printable is only in its strings.
    return printable(json.dumps(event, ensure_ascii=False, separators=(",", ":")))


def level_name(level: int) -> str:
    """The name of the level that a number of the `logging` module belongs to."""
    return next((name for name, least in reversed(LEVELS.items()) if level >= least), "debug")


def quoted(text: str) -> str:
    """A text between double quotes, as in JSON, with everything escaped that is no printable character."""
    return printable(json.dumps(text, ensure_ascii=False))


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception as exc:  # noqa: BLE001  a value that cannot be shown must not cost the message
        return f"<{type(value).__name__} that cannot be shown: {type(exc).__name__}>"


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001  as above: arguments that do not fit the message
        return f"{_text(record.msg)} {_text(record.args)}"


def _trace(error: tuple[type[BaseException], BaseException, object]) -> str:
    try:
        return "".join(traceback.format_exception(error[1]))
    except Exception as exc:  # noqa: BLE001  as above: an exception that cannot even be printed
        return f"<no trace: {type(exc).__name__}>"


def _timestamp(created: float) -> str:
    milliseconds = int(created * 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(milliseconds // 1000))}.{milliseconds % 1000:03d}Z"


class _LineHandler(logging.StreamHandler[TextIO]):
    """Counts messages, and writes those of a level and above as lines."""

    def __init__(self, stream: TextIO, formatter: logging.Formatter, least: int, count: Callable[[str], None]) -> None:
        super().__init__(stream)
        self.setFormatter(formatter)
        self._least = least
        self._count = count

    def emit(self, record: logging.LogRecord) -> None:
        self._count(level_name(record.levelno))
        if record.levelno >= self._least:
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        """Ignores write errors: logging would print them to stderr."""
