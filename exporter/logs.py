"""
The log: one record is one line of logfmt or JSON, whatever is in it, with the secrets left out.

Fields are what a call gives as `extra`:

    log.info("campaign recovered", extra={"account": "acme", "campaign": "june"})
    ts=2026-11-21T23:00:00.123Z level=info logger=exporter.polling msg="campaign recovered" account=acme campaign=june

Much of what is logged was written by strangers (names, error texts). So whatever a terminal, a line-oriented reader or
a person could take for something else is escaped: control characters, separators of lines, invisible and
direction-changing characters, lone surrogates.
"""

import json
import logging
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from typing import Literal, TextIO
from urllib.parse import quote

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
"""The levels by their names; what is worse than an error is counted and shown as one."""

_MAX_LENGTH = 16_384
_MIN_SECRET = 4
_REDACTED = "<redacted>"

_NO_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,*()\[\]{}~^&!?;|<>#$-]+")
_NOT_IN_KEYS = re.compile(r"[^A-Za-z0-9_.]")


class Redactor:
    """Replaces the secrets that it was told of, wherever they turn up in a text."""

    def __init__(self) -> None:
        self._forms: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def add(self, secret: str) -> None:
        """
        Hide a secret from now on, also as it looks inside of a URL, a `repr` or JSON.

        One of fewer than four characters is nothing that could be hidden: it is part of ordinary words.
        """
        if len(secret) < _MIN_SECRET:
            return
        in_url = quote(secret, safe="", errors="replace")
        forms = {
            secret,
            in_url,
            repr(secret)[1:-1],
            json.dumps(secret)[1:-1],
            json.dumps(secret, ensure_ascii=False)[1:-1],
        }
        if not forms <= self._forms:
            self._forms |= forms
            # The longest first: one secret may begin with another.
            longest_first = sorted(self._forms, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def __call__(self, text: str) -> str:
        return self._pattern.sub(_REDACTED, text) if self._pattern else text


def configure(
    level: Literal["debug", "info", "warning", "error"],
    form: Literal["logfmt", "json"],
    *,
    redact: Callable[[str], str],
    count: Callable[[str], None],
    stream: TextIO | None = None,
) -> None:
    """
    Send everything that is logged in this process to `stream`; called again, it replaces what it did before.

    Warnings of Python's own (`warnings.warn`) are logged too. Libraries speak from `warning` on.

    Args:
        redact: Takes the secrets out of a text.
        count: Called with the level of each message: of those that are shown, and of warnings and errors in any case.
        stream: Standard error where it is not given.
    """
    output = _LineHandler(stream or sys.stderr)
    output.setLevel(LEVELS[level])
    output.setFormatter(LogfmtFormatter(redact) if form == "logfmt" else JsonFormatter(redact))
    root = logging.getLogger()
    for handler in [h for h in root.handlers if isinstance(h, _LineHandler | _Counter)]:
        root.removeHandler(handler)
    root.addHandler(_Counter(count))
    root.addHandler(output)
    root.setLevel(min(LEVELS[level], logging.WARNING))
    for library in ("aiohttp", "asyncio"):
        logging.getLogger(library).setLevel(logging.WARNING)
    logging.captureWarnings(True)


class _RecordFormatter(logging.Formatter):
    """Takes a record apart into fields; never raises, whatever the record holds."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        super().__init__()
        self._redact = redact

    def _fields(self, record: logging.LogRecord) -> Iterable[tuple[str, object]]:
        yield "ts", _timestamp(record.created)
        yield "level", level_name(record.levelno)
        yield "logger", self._clean(record.name)
        yield "msg", self._clean(_message(record))
        for key, value in list(vars(record).items()):
            if key not in _NO_FIELDS:
                yield _NOT_IN_KEYS.sub("_", key) or "_", self._clean(value)
        if record.exc_info:
            yield "trace", self._clean(_trace(record))
        if record.stack_info:
            yield "stack", self._clean(record.stack_info)

    def _clean(self, value: object) -> object:
        if value is None or type(value) in {bool, int, float}:
            return value
        # The secrets first: half of one that is cut off is still too much.
        text = self._redact(_text(value))
        return text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]}…"


class LogfmtFormatter(_RecordFormatter):
    """`key=value` separated by spaces; a value is quoted where it must be."""

    def format(self, record: logging.LogRecord) -> str:
        return " ".join(f"{key}={_logfmt(value)}" for key, value in self._fields(record))


class JsonFormatter(_RecordFormatter):
    """One JSON object; numbers and truth values stay what they are."""

    def format(self, record: logging.LogRecord) -> str:
        # By hand: json.dumps escapes either every letter that is not ASCII, or not even U+2028.
        return "{" + ",".join(f"{quoted(key)}:{_json(value)}" for key, value in self._fields(record)) + "}"


def level_name(level: int) -> str:
    """Give the name of the level that a number of the `logging` module belongs to."""
    return next((name for name, least in reversed(LEVELS.items()) if level >= least), "debug")


def quoted(text: str) -> str:
    """Put a text into double quotes, with everything escaped, as JSON does, that is no printable character."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    return json.dumps(character)[1:-1]


def _logfmt(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = _text(value)
    return text if _PLAIN.fullmatch(text) else quoted(text)


def _json(value: object) -> str:
    if isinstance(value, float) and not -sys.float_info.max <= value <= sys.float_info.max:
        return quoted(str(value))  # JSON has no NaN and no infinity
    if value is None or isinstance(value, bool | float):
        return json.dumps(value)
    text = _text(value)
    return text if isinstance(value, int) and text[-1:].isdigit() else quoted(text)


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


def _trace(record: logging.LogRecord) -> str:
    try:
        return "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
    except Exception as exc:  # noqa: BLE001  as above: an exception that cannot even be printed
        return f"<no trace: {type(exc).__name__}>"


def _timestamp(created: float) -> str:
    milliseconds = int(created * 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(milliseconds // 1000))}.{milliseconds % 1000:03d}Z"


class _LineHandler(logging.StreamHandler[TextIO]):
    """Writes lines; where nobody reads them any more, that is no reason to stop, nor to write somewhere else."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        pass


class _Counter(logging.Handler):
    """Counts messages by level."""

    def __init__(self, count: Callable[[str], None]) -> None:
        super().__init__()
        self._count = count

    def emit(self, record: logging.LogRecord) -> None:
        self._count(level_name(record.levelno))
