"""
HTTP basic authentication (https://www.rfc-editor.org/rfc/rfc7617) against bcrypt hashes.

Checking a password takes a core for a tenth of a second or more, and anybody may ask for it: one is checked at a time,
in a thread, few may wait, and those that were right are remembered, so that scrapes never wait.
"""

import asyncio
import base64
import binascii
import concurrent.futures
import hashlib
import re
import secrets
import threading
from collections.abc import Callable, Mapping

import bcrypt
from aiohttp import web
from aiohttp.typedefs import Handler

from exporter.web.routes import busy, is_probe

_HASH = re.compile(rb"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
_SIGNIFICANT = 72  # bytes of a password; bcrypt ignores the rest
_REMEMBERED = 256
_MOST_WAITING = 64


Users = Mapping[bytes, bytes]
"""bcrypt hashes by name."""


def cost_of(stored: bytes) -> int:
    """The cost of a bcrypt hash, a power of two; 0 for what is none that can be checked."""
    match = _HASH.fullmatch(stored)
    cost = int(match[1]) if match else 0
    return cost if 4 <= cost <= 31 else 0


class CrowdedError(Exception):
    """Too many passwords wait to be checked."""


class Gate:
    """Checks passwords, by a function that says whether a password fits a hash."""

    def __init__(self, check: Callable[[bytes, bytes], bool] = bcrypt.checkpw) -> None:
        self._check = check
        self._turn = asyncio.Lock()
        self._places = asyncio.Semaphore(_MOST_WAITING)
        self._secret = secrets.token_bytes(32)
        self._right: dict[bytes, None] = {}

    async def admits(self, users: Users, authorization: str, gone: Callable[[], bool] = lambda: False) -> bool:
        """
        Say whether a request with this `Authorization` comes from one of the users, unless its client has `gone`.

        Raises:
            CrowdedError: It was not checked; the client may try again later.
        """
        if not (credentials := _credentials(authorization)):
            return False
        name, password = credentials
        stored = users.get(name)
        # No comparison in equal time is needed: without the key, nobody knows how a digest begins.
        digest = self._digest(name, password, stored) if stored else b""
        if digest in self._right:
            return True
        if self._places.locked():
            raise CrowdedError
        async with self._places, self._turn:
            if digest in self._right:  # by another request, meanwhile
                return True
            if gone():
                return False
            # Every failure takes as long as the dearest hash.
            highest = max(map(cost_of, users.values()))
            right = await _in_thread(lambda: self._verify(stored, password[:_SIGNIFICANT], highest))
        if right:
            self._right[digest] = None
            if len(self._right) > _REMEMBERED:
                del self._right[next(iter(self._right))]
        return right

    def _digest(self, name: bytes, password: bytes, stored: bytes) -> bytes:
        return hashlib.blake2b(repr((name, password, stored)).encode(), key=self._secret).digest()

    def _verify(self, stored: bytes | None, password: bytes, highest: int) -> bool:
        """Check a password. A failure takes equally long for every name, existing or not."""
        if stored is None:
            self._check(password, _nobodys(highest))
            return False
        if self._check(password, stored):
            return True
        # Each step of the cost doubles the work, so the user's own and these add up to the highest.
        for cost in range(cost_of(stored), highest):
            self._check(password, _nobodys(cost))
        return False


async def _in_thread(check: Callable[[], bool]) -> bool:
    """Run a check in a daemon thread, so that the process never waits at its end for a hash that takes minutes."""
    done: concurrent.futures.Future[bool] = concurrent.futures.Future()

    def run() -> None:
        try:
            done.set_result(check())
        except Exception as exc:  # noqa: BLE001  raised again where it is awaited
            done.set_exception(exc)

    done.set_running_or_notify_cancel()  # from here on `cancel` leaves it alone
    waiting = asyncio.wrap_future(done)
    threading.Thread(target=run, name="password", daemon=True).start()
    return await waiting


def _credentials(authorization: str) -> tuple[bytes, bytes] | None:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    name, colon, password = decoded.partition(b":")
    return (name, password) if colon else None


def _nobodys(cost: int) -> bytes:
    """A hash of this cost; whether a password fits it does not matter."""
    return b"$2b$%02d$" % cost + b"." * 53


def protect(app: web.Application, users: Callable[[], Users]) -> None:
    """Require a password for everything but the probes, while there are users."""
    gate = Gate()

    @web.middleware
    async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not (known := users()) or is_probe(request):
            return await handler(request)

        def gone() -> bool:
            return request.transport is None or request.transport.is_closing()

        try:
            admitted = await gate.admits(known, request.headers.get("Authorization", ""), gone)
        except CrowdedError:
            return busy()
        if admitted:
            return await handler(request)
        challenge = {"WWW-Authenticate": 'Basic realm="campaign-exporter", charset="UTF-8"'}
        return web.Response(status=401, headers=challenge, text="A user name and a password are required.\n")

    app.middlewares.insert(0, admit)
