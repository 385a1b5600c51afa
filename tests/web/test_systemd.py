"""What a service manager hears, on a real datagram socket."""

import logging
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.web.systemd import ServiceManager, feed_watchdog


@pytest.fixture
def directory() -> Iterator[Path]:
    # The paths of sockets are short by law, those of tmp_path are not.
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


@pytest.fixture
def manager(directory: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(directory / "notify"))
        sock.settimeout(5)
        yield sock


def heard(manager: socket.socket) -> str:
    return manager.recv(4096).decode()


def service(manager: socket.socket, **environ: str) -> ServiceManager:
    return ServiceManager({"NOTIFY_SOCKET": manager.getsockname(), **environ}, monotonic=lambda: 12.5)


def test_each_state_is_told_in_the_words_of_the_protocol(manager: socket.socket) -> None:
    told = service(manager)

    told.ready("2 accounts")
    told.reloading()
    told.alive()
    told.stopping()

    assert [heard(manager) for _ in range(4)] == [
        "READY=1\nSTATUS=2 accounts",
        "RELOADING=1\nMONOTONIC_USEC=12500000",
        "WATCHDOG=1",
        "STOPPING=1",
    ]


def test_a_status_cannot_smuggle_in_another_state(manager: socket.socket) -> None:
    service(manager).ready("ok\nSTOPPING=1\r\x85\u2028x\ud800")

    assert heard(manager) == "READY=1\nSTATUS=ok STOPPING=1 x?"


def test_an_abstract_socket_is_reached_too() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("")  # the system chooses an abstract name
        sock.settimeout(5)
        ServiceManager({"NOTIFY_SOCKET": "@" + sock.getsockname()[1:].decode()}).alive()

        assert heard(sock) == "WATCHDOG=1"


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1234"}])
def test_nothing_is_said_where_the_unit_did_not_ask(environ: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    told = ServiceManager({**environ, "WATCHDOG_USEC": "1000000"})

    told.ready()

    assert told.watchdog_interval is None
    assert not caplog.records


def test_a_manager_that_is_gone_is_named_once(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    told = ServiceManager({"NOTIFY_SOCKET": str(directory / "nobody")})

    told.alive()
    told.alive()

    (record,) = caplog.records
    assert record.levelno == logging.WARNING


def test_the_variables_are_not_passed_on(manager: socket.socket) -> None:
    environ = {
        "NOTIFY_SOCKET": manager.getsockname(),
        "WATCHDOG_USEC": "1",
        "WATCHDOG_PID": str(os.getpid()),
        "PATH": "/bin",
    }

    ServiceManager(environ)

    assert environ == {"PATH": "/bin"}


@pytest.mark.parametrize(
    ("environ", "interval"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_signs_of_life_come_twice_as_often_as_they_must(
    manager: socket.socket, environ: dict[str, str], interval: float | None
) -> None:
    assert service(manager, **environ).watchdog_interval == interval


async def test_the_watchdog_hears_from_us_until_we_stop(manager: socket.socket) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        await feed_watchdog(service(manager, WATCHDOG_USEC="10000000"), sleep)

    assert [heard(manager) for _ in range(3)] == ["WATCHDOG=1"] * 3
    assert waits == [5.0, 5.0, 5.0]


async def test_without_a_watchdog_there_is_nothing_to_do(manager: socket.socket) -> None:
    await feed_watchdog(service(manager))
