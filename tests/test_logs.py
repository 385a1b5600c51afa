"""What comes out of the log for ordinary and for hostile records."""

import io
import json
import logging
import re
import warnings
from collections.abc import Iterator
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.model import LogSettings
from exporter.logs import LineFormatter, configure, level_name, quoted
from exporter.providers.redaction import Redactor

HOSTILE = 'line one\nline two\r\x1b[31mred\x07\x85\u2028\u2029\u202eevil\u200b\ud800\x7f\x00"quoted" \\ é 😀'


class Log:
    """The configured log of a test: what was written, and what was counted."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.counted: list[str] = []
        self.redactor = Redactor()

    def configure(
        self, level: Literal["debug", "info", "warning", "error"] = "info", form: Literal["logfmt", "json"] = "logfmt"
    ) -> None:
        settings = LogSettings(level=level, format=form)
        configure(settings, redact=self.redactor, count=self.counted.append, stream=self.stream)

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


@pytest.fixture
def log() -> Iterator[Log]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    libraries = {name: logging.getLogger(name).level for name in ("aiohttp", "asyncio")}
    yield Log()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in libraries.items():
        logging.getLogger(name).setLevel(before)
    logging.captureWarnings(False)


@pytest.fixture
def logger() -> logging.Logger:
    return logging.getLogger("exporter.polling.poller")


def record(message: object, *args: object, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("exporter.polling.poller", logging.INFO, __file__, 1, message, args, None)
    made.created = 1795302000.1239
    vars(made).update(fields)
    return made


def as_is(text: str) -> str:
    return text


def test_a_record_is_a_line_of_logfmt() -> None:
    line = LineFormatter("logfmt", as_is).format(
        record("campaign %s", "recovered", account="acme", campaign="june renewals", seconds=1.5, calls=3, ok=True)
    )

    assert line == (
        'ts=2026-11-21T23:00:00.123Z level=info logger=exporter.polling.poller msg="campaign recovered" '
        'account=acme campaign="june renewals" seconds=1.5 calls=3 ok=true'
    )


def test_a_record_is_an_object_of_json() -> None:
    line = LineFormatter("json", as_is).format(
        record("campaign recovered", account="acme", seconds=1.5, calls=3, ok=False, none=None, nan=float("nan"))
    )

    assert json.loads(line) == {
        "ts": "2026-11-21T23:00:00.123Z",
        "level": "info",
        "logger": "exporter.polling.poller",
        "msg": "campaign recovered",
        "account": "acme",
        "seconds": 1.5,
        "calls": 3,
        "ok": False,
        "none": None,
        "nan": "nan",
    }


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("", '""'),
        (None, "null"),
        ("a=b", '"a=b"'),
        ('say "hi"', r'"say \"hi\""'),
        ("C:\\x", r'"C:\\x"'),
        ("https://api.anyreach.ai/x?y", "https://api.anyreach.ai/x?y"),
        ("Prüfung", '"Prüfung"'),
        ("tab\there", r'"tab\there"'),
        (float("inf"), "inf"),
        (["a", "b"], """"['a', 'b']\""""),
    ],
)
def test_values_of_logfmt_are_quoted_where_they_must_be(value: object, shown: str) -> None:
    assert LineFormatter("logfmt", as_is).format(record("x", value=value)).endswith(f" msg=x value={shown}")


@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_hostile_text_is_harmless_in_a_terminal(form: Literal["logfmt", "json"]) -> None:
    line = LineFormatter(form, as_is).format(record(HOSTILE, name_of_campaign=HOSTILE, **{f"k{HOSTILE}": 1}))

    assert line.isprintable()
    assert len(line.splitlines()) == 1
    line.encode()  # no lone surrogate is left
    assert r"\u001b[31mred" in line
    assert r"\u2028\u2029\u202e" in line
    assert "é 😀" in line


def test_hostile_text_can_be_read_back_from_json() -> None:
    line = LineFormatter("json", as_is).format(record("x", field=HOSTILE))

    assert json.loads(line)["field"] == HOSTILE


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_any_text_is_quoted_to_one_printable_piece_of_json(text: str) -> None:
    piece = quoted(text)

    assert piece.isprintable()
    # Two lone surrogates that make a pair are read back as the character that they stand for.
    assert json.loads(piece).encode("utf-16", "surrogatepass") == text.encode("utf-16", "surrogatepass")


@given(
    st.text(alphabet=st.characters(exclude_categories=())),
    st.dictionaries(
        st.text(alphabet=st.characters(exclude_categories=()), min_size=1),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.lists(st.integers()),
    ),
)
def test_any_record_is_one_line_in_both_forms(message: str, fields: dict[str, object]) -> None:
    made = record("%s", message, **{f"f_{key}": value for key, value in fields.items()})

    assert LineFormatter("logfmt", as_is).format(made).isprintable()
    json.loads(LineFormatter("json", as_is).format(made))


class Unshowable:
    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize("form", ["logfmt", "json"])
@pytest.mark.parametrize(
    "odd",
    [
        record("%d calls", "three"),
        record("%s %s", "one"),
        record(Unshowable()),
        record("x", value=Unshowable()),
        record("x", value=10**5000),
        record("100 %"),
        record(None),
    ],
)
def test_odd_records_never_raise(form: Literal["logfmt", "json"], odd: logging.LogRecord) -> None:
    assert LineFormatter(form, as_is).format(odd).isprintable()


def test_arguments_that_do_not_fit_are_shown_beside_the_message() -> None:
    assert """msg="%d calls ('three',)\"""" in LineFormatter("logfmt", as_is).format(record("%d calls", "three"))


def test_a_value_beyond_all_measure_is_cut() -> None:
    line = LineFormatter("logfmt", as_is).format(record("x", value="a" * 1_000_000))

    assert len(line) < 20_000
    assert line.endswith('a…"')


def test_a_trace_is_one_field_of_the_line(log: Log, logger: logging.Logger) -> None:
    log.configure(form="json")

    try:
        raise ValueError("bad\x1b[0m thing")
    except ValueError:
        logger.exception("a poll broke")

    (line,) = log.lines
    trace = json.loads(line)["trace"]
    assert trace.startswith("Traceback (most recent call last):\n")
    assert trace.endswith("ValueError: bad\x1b[0m thing\n")
    assert line.isprintable()


def test_a_stack_is_one_field_too(log: Log, logger: logging.Logger) -> None:
    log.configure(form="json")

    logger.warning("where", stack_info=True)

    assert "test_a_stack_is_one_field_too" in json.loads(log.text)["stack"]


def test_secrets_are_left_out_of_messages_fields_and_traces(log: Log, logger: logging.Logger) -> None:
    log.redactor.account().replace("token", ["pat_s3cr3t"])
    log.configure()

    try:
        raise ValueError("header Authorization: Bearer pat_s3cr3t")
    except ValueError:
        logger.exception("cannot use %s", "pat_s3cr3t", extra={"token": "pat_s3cr3t", "all": ["pat_s3cr3t"]})

    assert "s3cr3t" not in log.text
    assert log.text.count("<redacted>") == 5  # the trace shows the line of source too


def test_a_secret_is_not_left_by_halves_where_a_text_is_cut() -> None:
    redactor = Redactor()
    redactor.account().replace("token", ["s3cr3t" * 10])

    line = LineFormatter("logfmt", redactor).format(record("x", value="a" * 16_380 + "s3cr3t" * 10))

    assert "s3c" not in line


def test_only_what_the_level_lets_through_is_written(log: Log, logger: logging.Logger) -> None:
    log.configure("warning")

    logger.info("quiet")
    logger.warning("loud")

    assert [re.sub(r"ts=\S+ ", "", line) for line in log.lines] == [
        "level=warning logger=exporter.polling.poller msg=loud"
    ]


def test_messages_are_counted_by_level_and_warnings_even_when_hidden(log: Log, logger: logging.Logger) -> None:
    log.configure("error")

    logger.info("not shown, not counted")
    logger.warning("not shown, but counted")
    logger.error("shown")
    logger.critical("shown as an error")

    assert log.counted == ["warning", "error", "error"]
    assert len(log.lines) == 2


def test_configuring_again_replaces_what_was_there(log: Log, logger: logging.Logger) -> None:
    log.configure()
    log.configure("debug", "json")

    logger.debug("once")

    assert [json.loads(line)["msg"] for line in log.lines] == ["once"]
    assert log.counted == ["debug"]


def test_libraries_speak_from_warnings_on(log: Log) -> None:
    log.configure("debug")

    for name in ("aiohttp.access", "asyncio"):
        logging.getLogger(name).info("chatter")
        logging.getLogger(name).warning("trouble")

    assert [line.split("msg=")[1] for line in log.lines] == ["trouble", "trouble"]


def test_warnings_of_python_are_logged(log: Log) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        log.configure()
        warnings.warn("old\nways", DeprecationWarning, stacklevel=1)

    (line,) = log.lines
    assert "level=warning logger=py.warnings" in line
    assert r"DeprecationWarning: old\nways" in line


def test_a_log_that_nobody_reads_any_more_is_no_reason_to_stop(
    log: Log, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure()
    log.stream.close()

    logger.error("into the void")

    assert log.counted == ["error"]
    assert capsys.readouterr().err == ""


def test_standard_error_is_where_it_goes(log: Log, logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(), redact=as_is, count=log.counted.append)

    logger.info("here")

    assert capsys.readouterr().err.endswith("msg=here\n")


@pytest.mark.parametrize(
    ("number", "name"),
    [(0, "debug"), (10, "debug"), (20, "info"), (25, "info"), (30, "warning"), (40, "error"), (50, "error")],
)
def test_every_number_has_the_name_of_a_level(number: int, name: str) -> None:
    assert level_name(number) == name
