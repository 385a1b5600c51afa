"""The connections of an account, which are closed when they are old or when data arrives that was not asked for."""

import asyncio
import functools
import random
import ssl
from typing import Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpProcessingError, RawResponseMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from exporter.providers.errors import TooLargeError

# Also of idle ones. Names are looked up for new connections only, so this is how long a change of a DNS entry may go
# unnoticed.
LIFETIME: Final = 600.0
MOST_INTERIM_ANSWERS: Final = 32
# What may come before an answer is parsed in pieces of this size: 4 kB of interim answers take about a millisecond.
_PIECE: Final = 4096
_SUCCESSES: Final = (b"HTTP/1.1 2", b"HTTP/1.0 2")


class Connector(aiohttp.TCPConnector):
    """
    A pool whose open connections can all be taken out of use.

    Args:
        most_bytes: Of an answer on the wire, its head and the marks between its chunks included.
    """

    def __init__(self, *, limit: int, ssl: ssl.SSLContext | bool, most_bytes: int) -> None:
        super().__init__(limit=limit, keepalive_timeout=LIFETIME, ssl=ssl)
        self.trusted_since = 0.0
        self.most_bytes = most_bytes
        # aiohttp has no other way to choose the class of its protocol; the tests notice when this one is gone.
        self._factory = functools.partial(  # type: ignore[assignment]  # a subclass does too
            _Protocol, asyncio.get_running_loop(), self
        )

    def distrust(self) -> None:
        """Use no connection again that is open now: an answer on one of them was another request's."""
        self.trusted_since = asyncio.get_running_loop().time()


class _Protocol(ResponseHandler):
    """
    One connection.

    aiohttp takes what arrives between two requests for the answer to the next one, and reads interim answers (1xx)
    without end. Here the former closes the connection, and more than a few of the latter break it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, connector: Connector) -> None:
        super().__init__(loop)
        self._connector = connector
        self._opened = loop.time()
        self._reused_until = self._opened + LIFETIME * random.uniform(0.8, 1.0)  # noqa: S311 -- no secret
        self._answer: StreamReader | None = EMPTY_PAYLOAD
        """The body of the answer to the last request; None while the answer has not begun."""
        self._interim_answers = 0
        self._received = 0

    @property
    def _is_open(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    def is_connected(self) -> bool:
        """Whether a request may be sent; the pool asks before it uses a connection again."""
        return (
            self._is_open and self._opened >= self._connector.trusted_since and self._loop.time() < self._reused_until
        )

    def start_timeout(self) -> None:
        """Expect an answer: a request has been written."""
        self._answer = None
        self._interim_answers = 0
        self._received = 0
        # No timeout is started: the limit on the whole request covers it.

    def data_received(self, data: bytes) -> None:
        if self._answer is None and (len(data) > _PIECE or not data.startswith(_SUCCESSES)):
            data = self._begin(data)
        if (answer := self._answer) is not None:
            if data and answer.is_eof():
                self.close()
                return
            if self._received > self._connector.most_bytes:
                answer.set_exception(TooLargeError("the answer has more bytes than its body may have, in tiny chunks"))
                self.abort()
                return
        self._received += len(data)
        # By name, since `super()` costs as much as all else that is done here.
        ResponseHandler.data_received(self, data)

    def _begin(self, data: bytes) -> bytes:
        """Parse what comes before the body of an answer, piece by piece; returns the rest."""
        while (end := _end_of_piece(data)) < len(data) and self._answer is None and self._is_open:
            ResponseHandler.data_received(self, data[:end])
            data = data[end:]
        return data

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """Take in the head of an answer."""
        message, payload = data
        if message.code < 200 and message.code != 101:
            self._interim_answers += 1
            if self._interim_answers > MOST_INTERIM_ANSWERS:
                self.set_exception(HttpProcessingError(message="interim answers without end"))
                self.abort()
            return
        self._answer = payload
        ResponseHandler.feed_data(self, data, size)


def _end_of_piece(data: bytes) -> int:
    """
    Where the first piece of an answer ends.

    The head of an error is one by itself: its status stands, whatever aiohttp finds in the body behind it.
    """
    is_answer = data.startswith(b"HTTP/") and not data.startswith(_SUCCESSES)
    head = data.find(b"\r\n\r\n", 0, _PIECE) if is_answer else -1
    return _PIECE if head < 0 else head + 4
