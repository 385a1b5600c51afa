"""Listening sockets: bound, inherited and cleaned up."""

import os
import socket
import stat
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.config.addresses import ListenAddress
from exporter.web.sockets import ListenError, bind, inherited, listening, location

LOOPBACK = ListenAddress.parse("127.0.0.1:0")


def at(*texts: str) -> list[ListenAddress]:
    return [ListenAddress.parse(text) for text in texts]


@pytest.fixture
def directory() -> Iterator[Path]:
    # The paths of sockets are short by law, those of tmp_path are not.
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


class TestSockets:
    def test_the_empty_host_is_every_address_of_both_families(self) -> None:
        with listening(at(":0"), {}) as (sock,):
            port = sock.getsockname()[1]
            for host in ("127.0.0.1", "::1"):
                socket.create_connection((host, port), timeout=5).close()
            assert location(sock) == f"http://localhost:{port}"

    def test_an_ipv6_address_is_spelled_in_brackets(self) -> None:
        with listening(at("[::1]:0"), {}) as (sock,):
            port = sock.getsockname()[1]
            socket.create_connection(("::1", port), timeout=5).close()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=5)
            assert location(sock, "https") == f"https://[::1]:{port}"

    def test_a_name_stands_for_all_of_its_addresses(self) -> None:
        with listening(at("localhost:0"), {}) as sockets:
            expected = {info[4][0] for info in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
            assert {sock.getsockname()[0] for sock in sockets} <= expected
            for sock in sockets:
                socket.create_connection(sock.getsockname()[:2], timeout=5).close()

    def test_several_addresses_are_listened_on_together(self, directory: Path) -> None:
        with listening(at("127.0.0.1:0", "[::1]:0", f"unix:{directory}/s"), {}) as sockets:
            assert [sock.family for sock in sockets] == [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX]
            assert location(sockets[2]) == f"unix:{directory}/s"

        assert all(sock.fileno() == -1 for sock in sockets)

    def test_a_port_in_use_is_one_clear_line_and_nothing_stays_open(self, directory: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(ListenError, match=rf"^cannot listen on 127\.0\.0\.1:{port}: Address already in use$"):
                bind(at(f"unix:{directory}/s", f"127.0.0.1:{port}"))

        # The socket file has nobody behind it, so it is taken over.
        with listening(at(f"unix:{directory}/s"), {}):
            pass

    def test_a_port_in_use_on_one_family_is_in_use(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ListenError, match="in use"):
            bind(at(f":{taken.getsockname()[1]}"))

    @pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1", "a" * 70])
    def test_a_host_that_is_not_ours_is_one_clear_line(self, host: str) -> None:
        with pytest.raises(ListenError, match=rf"^cannot listen on {host}:1: .+$"):
            bind([ListenAddress(host=host, port=1)])

    def test_a_unix_socket_is_for_its_owner_and_group_and_goes_away_with_us(self, directory: Path) -> None:
        path = directory / "s"

        with listening(at(f"unix:{path}"), {}):
            assert stat.S_IMODE(path.stat().st_mode) == 0o660

        assert not path.exists()

    def test_what_a_killed_process_left_behind_is_replaced(self, directory: Path) -> None:
        path = directory / "s"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))

        with listening(at(f"unix:{path}"), {}), socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))

    def test_a_unix_socket_that_somebody_serves_is_left_alone(self, directory: Path) -> None:
        with listening(at(f"unix:{directory}/s"), {}):
            with pytest.raises(ListenError, match=r"^cannot listen on unix:.*/s: Address already in use$"):
                bind(at(f"unix:{directory}/s"))

            with socket.socket(socket.AF_UNIX) as client:
                client.connect(f"{directory}/s")

    def test_a_file_that_is_no_socket_is_never_removed(self, directory: Path) -> None:
        path = directory / "s"
        path.write_text("precious")

        with pytest.raises(ListenError, match=r"it is no socket$"):
            bind(at(f"unix:{path}"))

        assert path.read_text() == "precious"

    def test_the_socket_file_of_a_successor_stays(self, directory: Path) -> None:
        path = directory / "s"

        with listening(at(f"unix:{path}"), {}):
            path.rename(directory / "old")
            path.write_text("another's")

        assert path.read_text() == "another's"

    @pytest.mark.parametrize("path", ["/no/such/directory/s", "/tmp/" + "x" * 200])
    def test_a_path_that_cannot_be_had_is_one_clear_line(self, path: str) -> None:
        with pytest.raises(ListenError, match=rf"^cannot listen on unix:{path}: .+$"):
            bind(at(f"unix:{path}"))


class TestSocketsOfSystemd:
    @staticmethod
    def run(code: str, *descriptors: int) -> "subprocess.CompletedProcess[str]":
        """Run Python code in a process that got these descriptors as systemd hands them over, from 3 on."""
        # By way of high numbers, so that none is overwritten before it was moved.
        moves = "".join(f"exec {50 + i}<&{fd}; " for i, fd in enumerate(descriptors))
        moves += "".join(f"exec {3 + i}<&{50 + i} {50 + i}<&-; " for i in range(len(descriptors)))
        script = f'{moves}export LISTEN_PID=$$ LISTEN_FDS={len(descriptors)} LISTEN_FDNAMES=http; exec "$@"'
        return subprocess.run(
            ["bash", "-c", script, "bash", sys.executable, "-c", textwrap.dedent(code)],
            pass_fds=descriptors,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def test_they_are_taken_instead_of_the_addresses_and_announced_to_nobody_else(self, directory: Path) -> None:
        with (
            socket.create_server(("127.0.0.1", 0)) as tcp,
            socket.socket(socket.AF_UNIX) as unix,
        ):
            unix.bind(str(directory / "s"))
            unix.listen()
            done = self.run(
                """
                import os
                from exporter.web.sockets import listening, location
                from exporter.config.addresses import ListenAddress
                with listening([ListenAddress.parse("127.0.0.1:1")]) as sockets:
                    print(*map(location, sockets))
                    print(*(sock.get_inheritable() or sock.getblocking() for sock in sockets))
                    print([name for name in os.environ if name.startswith("LISTEN_")])
                """,
                tcp.fileno(),
                unix.fileno(),
            )

            assert done.stdout.splitlines() == [f"{location(tcp)} unix:{directory}/s", "False False", "[]"], done.stderr
            # The file is systemd's.
            assert (directory / "s").exists()

    def test_another_process_variables_are_ignored_and_removed(self) -> None:
        environ = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "PATH": "/bin"}

        assert inherited(environ) == []
        assert environ == {"PATH": "/bin"}

    def test_without_them_the_addresses_count(self) -> None:
        with listening([LOOPBACK], {}) as (sock,):
            assert sock.getsockname()[0] == "127.0.0.1"

    @pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
    def test_a_socket_that_does_not_listen_is_refused(self, kind: socket.SocketKind) -> None:
        with socket.socket(socket.AF_INET, kind) as sock:
            sock.bind(("127.0.0.1", 0))
            done = self.run("from exporter.web.sockets import inherited; inherited()", sock.fileno())

        assert "ListenError: descriptor 3 from systemd is no listening stream socket" in done.stderr

    def test_a_descriptor_that_is_no_socket_is_refused(self) -> None:
        with open(os.devnull) as file:  # noqa: PTH123  a descriptor is all that is wanted
            done = self.run("from exporter.web.sockets import inherited; inherited()", file.fileno())

        assert "ListenError: descriptor 3 from systemd is no socket" in done.stderr

    def test_a_count_that_is_none_is_refused(self) -> None:
        with pytest.raises(ListenError, match=r"^LISTEN_FDS is 'two'"):
            inherited({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "two"})
