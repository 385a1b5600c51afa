"""What a scrape gets for the headers that real scrapers, tools and browsers send, and for awkward ones."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.exposition.negotiation import Choice, Format, accepts_gzip, choose_format

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

# Prometheus' `acceptHeader` in scrape/scrape.go, with its defaults.
PROMETHEUS_2_42 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_2_50 = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3_NATIVE_HISTOGRAMS = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,"
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
# Grafana Alloy scrapes with Prometheus' own code and, by default, with the legacy names.
ALLOY = PROMETHEUS_3.replace("allow-utf-8", "underscores")
VMAGENT = "text/plain;version=0.0.4;q=1,*/*;q=0.1"
CURL = "*/*"
CHROME = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7"
)
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (PROMETHEUS_2_42, OPENMETRICS),
        (PROMETHEUS_2_50, OPENMETRICS),
        (PROMETHEUS_3, f"{OPENMETRICS}; escaping=allow-utf-8"),
        (PROMETHEUS_3_NATIVE_HISTOGRAMS, f"{OPENMETRICS}; escaping=allow-utf-8"),
        (ALLOY, f"{OPENMETRICS}; escaping=underscores"),
        (VMAGENT, TEXT),
        (CURL, TEXT),
        (CHROME, TEXT),
        (FIREFOX, TEXT),
        ("", TEXT),
    ],
    ids=["2.42", "2.50", "3", "3-protobuf", "alloy", "vmagent", "curl", "chrome", "firefox", "none"],
)
def test_real_clients_get_the_best_that_they_ask_for(accept: str, content_type: str) -> None:
    assert choose_format(accept).content_type == content_type


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("text/plain;q=0.4, application/openmetrics-text;q=0.5", Format.OPENMETRICS),
        ("text/plain;q=0.5, application/openmetrics-text;q=0.4", Format.TEXT),
        ("application/openmetrics-text;version=1.0.0;q=0.001", Format.OPENMETRICS),
        ("application/openmetrics-text;q=1.000, text/plain;q=0.999", Format.OPENMETRICS),
        # Weights of zero refuse, and the most specific range decides.
        ("application/openmetrics-text;q=0, */*", Format.TEXT),
        ("text/plain;q=0, */*;q=0.1", Format.OPENMETRICS),
        ("text/*;q=0, */*;q=0.5", Format.OPENMETRICS),
        ("application/openmetrics-text;version=1.0.0;q=0, application/openmetrics-text, text/plain;q=0.1", Format.TEXT),
        ("text/plain;q=0, application/openmetrics-text;q=0", Format.TEXT),
        ("*/*;q=0", Format.TEXT),
        # Wildcards.
        ("application/*", Format.OPENMETRICS),
        ("text/*", Format.TEXT),
        ("text/*;q=0.2, application/*;q=0.3", Format.OPENMETRICS),
        # Ties: a name before a wildcard, then the order, then text.
        ("*/*, application/openmetrics-text", Format.OPENMETRICS),
        ("application/openmetrics-text, text/plain", Format.OPENMETRICS),
        ("text/plain, application/openmetrics-text;version=1.0.0", Format.TEXT),
        # Versions and encodings that are not written are passed over.
        ("application/openmetrics-text;version=0.0.1", Format.TEXT),
        ("application/openmetrics-text;version=2.0.0, text/plain;q=0.1", Format.TEXT),
        ("application/openmetrics-text;version=2.0.0;q=0.9, application/openmetrics-text;q=0.2", Format.OPENMETRICS),
        ("text/plain;version=1.0.0, application/openmetrics-text;q=0.1", Format.OPENMETRICS),
        ("text/plain;charset=iso-8859-1, application/openmetrics-text;q=0.1", Format.OPENMETRICS),
        ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited", Format.TEXT),
        ("application/json", Format.TEXT),
        # Spelling: case, spaces, quotes, separators inside of quotes, parameters that mean nothing here.
        (
            'APPLICATION/OpenMetrics-Text ; Version="1.0.0" ; Charset=UTF-8 ; Q=0.9, text/plain;q=0.8',
            Format.OPENMETRICS,
        ),
        ('application/openmetrics-text;note="a,b;q=0";q=0.9, text/plain;q=0.8', Format.OPENMETRICS),
        ('application/openmetrics-text;note="a\\",\\"b";q=0.9, text/plain;q=0.8', Format.OPENMETRICS),
        ("application/openmetrics-text;q=0.5;version=1.0.0, text/plain;q=0.4", Format.OPENMETRICS),
        (",, application/openmetrics-text ,;,", Format.OPENMETRICS),
        # A weight that is none costs its own range only.
        ("application/openmetrics-text;q=high, text/plain;q=0.1", Format.TEXT),
        ("application/openmetrics-text;q=nan", Format.TEXT),
        ("application/openmetrics-text;q=-1", Format.TEXT),
        ("application/openmetrics-text;q=1.5", Format.TEXT),
        ("application/openmetrics-text;q=, text/plain;q=0.1", Format.TEXT),
        ('"', Format.TEXT),
    ],
)
def test_weights_wildcards_and_parameters_are_honoured(accept: str, expected: Format) -> None:
    assert choose_format(accept).format is expected


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ("allow-utf-8", "allow-utf-8"),
        ("underscores", "underscores"),
        ("values", "values"),
        ("dots", "underscores"),  # would change our names, and they are not changed
        ("\r\nX-Evil: 1", "underscores"),
    ],
)
def test_the_escaping_that_is_named_is_one_that_is_true(asked: str, named: str) -> None:
    accept = f'application/openmetrics-text;version=1.0.0;escaping="{asked}"'

    assert choose_format(accept) == Choice(Format.OPENMETRICS, f"{OPENMETRICS}; escaping={named}")


def test_text_0_0_4_has_no_escaping_scheme_to_name() -> None:
    assert choose_format("text/plain;version=0.0.4;escaping=allow-utf-8") == Choice(Format.TEXT, TEXT)


@pytest.mark.parametrize(
    ("accept_encoding", "expected"),
    [
        ("gzip", True),  # Prometheus, vmagent and Alloy
        ("identity", False),  # Prometheus with enable_compression: false
        ("", False),  # curl
        ("gzip, deflate, br, zstd", True),  # browsers
        ("deflate, gzip;q=1.0, *;q=0.5", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("*", True),
        ("*;q=0", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("gzip;q=0, *", False),
        ("gzip;q=0.001", True),
        ("gzip;q=0.5, identity", False),
        ("gzip, identity", True),
        ("identity;q=0.5, gzip;q=0.4", False),
        ("identity, *;q=0.5", False),
        ("identity;q=0, gzip;q=0.1", True),
        ("identity;q=0, *;q=0.1", True),
        ("identity;q=0", False),
        ("br, deflate", False),
        ("gzip;q=yes", False),
    ],
)
def test_gzip_is_sent_to_those_who_want_it_most(accept_encoding: str, *, expected: bool) -> None:
    assert accepts_gzip(accept_encoding) is expected


@given(st.text(max_size=200) | st.text(alphabet='"\\,;=q01.*/ab', max_size=200))
def test_any_header_gets_an_answer(header: str) -> None:
    assert choose_format(header).content_type.startswith(choose_format(header).format.value)
    assert accepts_gzip(header) in {True, False}


@pytest.mark.parametrize("piece", ['"', '"\\', '\\"', ",", ";", "a;q=0.1,", '";,', '"a'])
def test_the_time_for_a_header_grows_with_its_length_only(piece: str) -> None:
    started = time.perf_counter()

    choose_format(piece * 100_000)

    # A fraction of a second; if every quote had to look for its end, it would be minutes.
    assert time.perf_counter() - started < 10


@pytest.mark.parametrize(("before", "expected"), [(63, Format.OPENMETRICS), (64, Format.TEXT)])
def test_only_so_many_elements_count(before: int, expected: Format) -> None:
    assert choose_format("image/png," * before + "application/openmetrics-text").format is expected
    assert accepts_gzip("br," * before + "gzip") is (expected is Format.OPENMETRICS)


def test_only_so_many_parameters_count() -> None:
    assert choose_format("application/openmetrics-text" + ";x=1" * 14 + ";q=0").format is Format.TEXT
    assert choose_format("application/openmetrics-text" + ";x=1" * 16 + ";q=0").format is Format.OPENMETRICS


@pytest.mark.parametrize("piece", ["a/b;q=0.5,", "text/plain;x=1;q=0.5,", ";", "q=1;", ","])
def test_the_largest_header_that_is_taken_holds_the_loop_for_a_moment(piece: str) -> None:
    header = piece * (65536 // len(piece))
    times = []
    for _ in range(5):
        began = time.thread_time()
        choose_format(header)
        times.append(time.thread_time() - began)

    assert min(times) < 0.005
