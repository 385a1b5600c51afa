"""Listening sockets: bound by this process, or handed over by systemd."""

import errno
import os
import socket
import stat
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from exporter.config.addresses import ListenAddress

BACKLOG = 512
_FIRST_INHERITED = 3  # https://www.freedesktop.org/software/systemd/man/latest/sd_listen_fds.html
_UNAVAILABLE = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


class ListenError(Exception):
    """An address cannot be listened on; the message is one line for the person who starts the exporter."""


@contextmanager
def listening(
    addresses: Sequence[ListenAddress], environ: MutableMapping[str, str] = os.environ
) -> Iterator[list[socket.socket]]:
    """
    Take the sockets that systemd has opened, or else open those of the addresses; close them at the end.

    Raises:
        ListenError: One of them can't be opened; then none is open.
    """
    if sockets := inherited(environ):
        unix_files = {}
    else:
        sockets = bind(addresses)
        paths = [sock.getsockname() for sock in sockets if sock.family == socket.AF_UNIX]
        unix_files = {path: _identity(path) for path in paths}
    try:
        yield sockets
    finally:
        for sock in sockets:
            sock.close()
        for path, identity in unix_files.items():
            # Another process may have put its own socket there.
            if identity and _identity(path) == identity:
                Path(path).unlink(missing_ok=True)


def bind(addresses: Sequence[ListenAddress]) -> list[socket.socket]:
    """
    Listen on all the addresses, or on none; a host name is listened on at each address that it resolves to.

    Raises:
        ListenError: The first address that can't be listened on, and why.
    """
    sockets = []
    with ExitStack() as opened:
        for address in addresses:
            try:
                for sock in _tcp(address.host, address.port) if address.path is None else [_unix(address.path)]:
                    sock.setblocking(False)
                    sockets.append(opened.enter_context(sock))
            except (OSError, UnicodeError, OverflowError, ValueError) as exc:
                reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
                # create_server repeats the address.
                raise ListenError(f"cannot listen on {address}: {reason.partition(' (while')[0]}") from exc
        opened.pop_all()
    return sockets


def inherited(environ: MutableMapping[str, str] = os.environ) -> list[socket.socket]:
    """
    Take over the listening sockets that systemd has opened for this process, and remove the variables that say so.

    Raises:
        ListenError: A descriptor is no listening stream socket.
    """
    process, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if process != str(os.getpid()):
        return []
    if not count.isdecimal():
        raise ListenError(f"LISTEN_FDS is {count!r} and should be a number")
    sockets = []
    for descriptor in range(_FIRST_INHERITED, _FIRST_INHERITED + int(count)):
        try:
            os.set_inheritable(descriptor, False)
            sock = socket.socket(fileno=descriptor)
            usable = sock.type == socket.SOCK_STREAM and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        except OSError as exc:
            raise ListenError(f"descriptor {descriptor} from systemd is no socket: {exc.strerror}") from exc
        if not usable:
            raise ListenError(f"descriptor {descriptor} from systemd is no listening stream socket (ListenStream=)")
        sock.setblocking(False)
        sockets.append(sock)
    return sockets


def location(sock: socket.socket, scheme: str = "http") -> str:
    """Return where a socket listens: `http://[::1]:10077`, `unix:/run/exporter.sock`; a wildcard is `localhost`."""
    if sock.family == socket.AF_UNIX:
        return f"unix:{sock.getsockname()}"
    host, port = sock.getsockname()[:2]
    if is_wildcard(sock):
        host = "localhost"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def is_wildcard(sock: socket.socket) -> bool:
    """Whether a socket listens on all interfaces."""
    return sock.family != socket.AF_UNIX and sock.getsockname()[0] in {"::", "0.0.0.0"}  # noqa: S104  compared with


def _tcp(host: str, port: int) -> Iterator[socket.socket]:
    if host in {"", "::"} and socket.has_dualstack_ipv6():
        # One socket for both families, as in Prometheus for `:port` and `[::]:port`.
        try:
            yield socket.create_server(("::", port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True)
            return
        except OSError as exc:
            # The kernel has IPv6 but it is switched off, as in many containers.
            if host or exc.errno not in _UNAVAILABLE:
                raise
    targets = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    unavailable = []
    for family, _, _, _, target in targets:
        try:
            yield socket.create_server(target, family=family, backlog=BACKLOG)
        except OSError as exc:
            # `localhost` resolves to ::1 too where IPv6 is switched off: one of its addresses is enough.
            if exc.errno not in _UNAVAILABLE:
                raise
            unavailable.append(exc)
    if len(unavailable) == len(targets):
        raise unavailable[0]


def _unix(path: str) -> socket.socket:
    _remove_stale(Path(path))
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
        # Before listen(), so that no other user connects in between. Reloads may be requested on it.
        Path(path).chmod(0o660)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _remove_stale(path: Path) -> None:
    """Remove the socket that a killed process has left; refuse to remove anything else."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(errno.EEXIST, "there is a file of that name, and it is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = Path(path).lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
