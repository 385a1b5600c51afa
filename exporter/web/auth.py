"""
Users and passwords of the web server: HTTP basic authentication against bcrypt hashes.

A hash is made to be slow, and anybody may ask for one to be computed. So it is computed in a thread, one at a time,
in an order that lets no client keep the others out; and a password that was right once is remembered, by a digest
that is of no use outside of this process, so that a scrape costs nothing.

See https://www.rfc-editor.org/rfc/rfc7617.
"""

import asyncio
import base64
import binascii
import hashlib
import ipaddress
import re
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import bcrypt

HIGHEST_COST = 16
"""Of a hash, as a power of two; each check then takes some seconds already."""

_HASH = re.compile(rb"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
_SIGNIFICANT = 72  # bytes of a password; bcrypt has never looked at more
_REMEMBERED = 256
_MOST_WAITING = 1024  # more than there are open connections, so that only requests of closed ones are given up


def cost_of(stored: bytes) -> int | None:
    """The cost of a bcrypt hash; None for what is none that can be checked."""
    match = _HASH.fullmatch(stored)
    cost = int(match[1]) if match else 0
    return cost if 4 <= cost <= HIGHEST_COST else None


@dataclass(frozen=True, slots=True)
class Users:
    """Who may come in: bcrypt hashes by name. Nobody means that no password is asked for."""

    hashes: Mapping[bytes, bytes] = field(default_factory=dict, repr=False)

    def __bool__(self) -> bool:
        return bool(self.hashes)

    @property
    def cost(self) -> int:
        """The highest one, which every failure takes."""
        return max(filter(None, map(cost_of, self.hashes.values())), default=0)


class CrowdedError(Exception):
    """Too many passwords wait to be checked; this one was given up for a newer one."""


class Gate:
    """
    Checks passwords.

    Args:
        check: Whether a password fits a hash; blocks.
    """

    def __init__(self, check: Callable[[bytes, bytes], bool] = bcrypt.checkpw) -> None:
        self._check = check
        self._turns = _Turns()
        self._secret = secrets.token_bytes(32)
        self._right: dict[bytes, None] = {}

    async def admits(
        self, users: Users, authorization: str, client: str | None, gone: Callable[[], bool] = lambda: False
    ) -> bool:
        """
        Say whether a request comes from one of the users.

        Args:
            authorization: The header; the empty string where there is none.
            client: Address that the request comes from; None where it has none (Unix sockets).
            gone: Whether nobody waits for the answer any more, so that a hash would be computed for nothing.

        Raises:
            CrowdedError: It was not found out; to be asked again later.
        """
        if not (credentials := _credentials(authorization)):
            return False
        name, password = credentials
        stored = users.hashes.get(name)
        # Looked up by a keyed digest, equal time is not needed: nobody outside can choose how one begins.
        digest = self._digest(name, password, stored) if stored else b""
        if digest in self._right:
            return True
        async with self._turns.taken(_neighbourhood(client)):
            if digest in self._right:  # by another request, meanwhile
                return True
            if gone():
                return False
            right = await asyncio.to_thread(self._verify, stored, password[:_SIGNIFICANT], users.cost)
        if right:
            self._right[digest] = None
            if len(self._right) > _REMEMBERED:
                del self._right[next(iter(self._right))]
        return right

    def _digest(self, name: bytes, password: bytes, stored: bytes) -> bytes:
        digest = hashlib.blake2b(key=self._secret)
        for part in (name, password, stored):
            digest.update(len(part).to_bytes(8, "big") + part)
        return digest.digest()

    def _verify(self, stored: bytes | None, password: bytes, highest: int) -> bool:
        """Check a password; failing takes equally long for every name, also for one that nobody has."""
        if stored is None:
            self._check(password, _nobodys(highest))
            return False
        if self._check(password, stored):
            return True
        # Each step of the cost doubles the work, so a user's own and these add up to the highest.
        for cost in range(cost_of(stored) or 0, highest):
            self._check(password, _nobodys(cost))
        return False


class _Queue:
    """
    The requests of one neighbourhood.

    The newest and the oldest take turns: the newest is most likely still waited for, and soon checked whatever a flood
    has left behind; the oldest is checked some time, however long the flood goes on.
    """

    def __init__(self) -> None:
        self.turns: deque[asyncio.Future[None]] = deque()
        self._newest = False

    def take(self) -> asyncio.Future[None]:
        self._newest = not self._newest
        return self.turns.pop() if self._newest else self.turns.popleft()


class _Turns:
    """
    One at a time.

    Neighbourhoods take turns, so that one which wants thousands of them holds up nobody but itself.
    """

    def __init__(self) -> None:
        self._busy = False
        self._waiting: dict[str, _Queue] = {}

    @asynccontextmanager
    async def taken(self, neighbourhood: str) -> AsyncIterator[None]:
        """Wait for the turn and hold it for as long as the block takes; raises CrowdedError."""
        if self._busy:
            await self._wait(neighbourhood)
        self._busy = True
        try:
            yield
        finally:
            self._next()

    async def _wait(self, neighbourhood: str) -> None:
        if sum(len(queue.turns) for queue in self._waiting.values()) >= _MOST_WAITING:
            oldest = max(self._waiting.values(), key=lambda queue: len(queue.turns)).turns[0]
            self._forget(oldest)
            if not oldest.done():
                oldest.set_exception(CrowdedError)
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(neighbourhood, _Queue()).turns.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._forget(turn)
            else:
                self._next()
            raise

    def _next(self) -> None:
        while self._waiting:
            neighbourhood, queue = next(iter(self._waiting.items()))
            del self._waiting[neighbourhood]
            turn = queue.take()
            if queue.turns:
                self._waiting[neighbourhood] = queue  # behind the others
            if not turn.done():  # it may have been cancelled in this very turn of the loop
                turn.set_result(None)
                return
        self._busy = False

    def _forget(self, turn: asyncio.Future[None]) -> None:
        for neighbourhood, queue in list(self._waiting.items()):
            if turn in queue.turns:
                queue.turns.remove(turn)
                if not queue.turns:
                    del self._waiting[neighbourhood]


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


def _neighbourhood(client: str | None) -> str:
    """The address, or for IPv6 the network, of which one client can have any number of addresses."""
    try:
        address = ipaddress.ip_address((client or "").partition("%")[0])
    except ValueError:  # of a Unix socket
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address), 64), strict=False))
    return str(address)
