"""
Lenient reading of the JSON that providers send.

A value that is missing or of another kind costs its own sample, not the answer.
A large answer is read in a thread and in pieces, so that it never holds the event loop for long.
"""

import asyncio
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from itertools import islice
from typing import Final, TypeVar

import msgspec
import pydantic_core

from exporter.campaign.labels import OVERFLOW
from exporter.providers.errors import InvalidResponseError
from exporter.providers.pieces import read_pieces

T = TypeVar("T")


LARGE: Final = 65_536
"""Bytes from which on an answer is read in a thread; this many are read in 3 ms whatever they hold."""

Odd = bool | float | str | None
"""What may stand where an array or object should, and is left out."""

MOST_ENTRIES: Final = 1_000
"""Entries of a map of numbers that are kept; the rest are added up. More than enough for the labels made of them."""


async def read(body: bytes, reader: Callable[[bytes], T]) -> T:
    """
    Let a function read the body of an answer, a large one in a thread.

    Raises:
        InvalidResponseError: The function raises it.
    """
    return reader(body) if len(body) <= LARGE else await asyncio.to_thread(reader, body)


def read_json(body: bytes) -> object:
    """
    Read the JSON of an answer.

    A byte-order mark is skipped. A number that Python refuses to read, for example one of 5,000 digits, becomes None,
    so that it costs no other.

    Raises:
        InvalidResponseError: No UTF-8, no JSON, or nested too deeply to be either.
    """
    if len(body) <= LARGE:
        try:
            return pydantic_core.from_json(body)
        except ValueError:
            # It is three times as fast as json, and refuses some of what json reads, which has the last word.
            pass
    try:
        return read_pieces(body.decode("utf-8-sig"), _read_integer)
    except UnicodeDecodeError:
        raise InvalidResponseError("the answer is not UTF-8") from None
    except json.JSONDecodeError:
        raise InvalidResponseError("the answer is not JSON") from None
    except RecursionError:
        raise InvalidResponseError("the answer is nested too deeply") from None


def read_object(body: bytes) -> dict[str, object]:
    """
    Read an answer that must be one JSON object.

    Raises:
        InvalidResponseError: It is not.
    """
    payload = read_json(body)
    if not isinstance(payload, dict):
        raise InvalidResponseError("the top level of the answer is no object")
    return payload


def read_as(decoder: msgspec.json.Decoder[T], body: bytes) -> T | None:
    """
    Read the JSON of an answer into a type that names the fields to read; all others are skipped, and never leave it.

    Returns:
        None where another kind of value stands than the type says.

    Raises:
        InvalidResponseError: As `read_json`.
    """
    try:
        try:
            # As text, because msgspec does not look for invalid UTF-8 in what it skips.
            return decoder.decode(body.decode())
        except msgspec.ValidationError:
            return None
        except (msgspec.DecodeError, UnicodeDecodeError):
            # It refuses some of what json reads, for example NaN.
            return msgspec.convert(read_json(body), decoder.type)
    except msgspec.ValidationError:
        return None


def _read_integer(digits: str) -> int | None:
    try:
        return int(digits)
    except ValueError:
        return None


def object_at(parent: Mapping[str, object], key: str) -> dict[str, object] | None:
    """
    The object under a key, None where it is missing or null.

    Raises:
        InvalidResponseError: Another kind of value stands there.
    """
    value = parent.get(key)
    if value is None or isinstance(value, dict):
        return value
    raise InvalidResponseError(f"{key} is no object")


LONGEST_TEXT: Final = 256
"""Characters that are kept of an id or a word of single attempts."""


def short_text(value: object) -> str | None:
    """The first characters of a text; None for an empty one and for what is no text."""
    return value[:LONGEST_TEXT] if isinstance(value, str) and value else None


def read_id(value: object) -> str | None:
    """An id, which may be a number; None where there is none."""
    if type(value) is int:
        return str(value)
    return value if isinstance(value, str) and value else None


def text_at(parent: Mapping[str, object], key: str) -> str | None:
    """The string under a key, None where there is none."""
    value = parent.get(key)
    return value if isinstance(value, str) else None


_PLAIN_DECIMAL: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")


def number(value: object) -> float | None:
    """A finite number that is not negative, from a number or from its plain decimal text; None for all else."""
    # The exact type, since True is an int.
    kind = type(value)
    if kind is int or kind is float:
        try:
            read = float(value)  # type: ignore[arg-type]  # mypy does not narrow by type()
        except OverflowError:
            return None
    elif kind is str and _PLAIN_DECIMAL.fullmatch(value):  # type: ignore[call-overload]  # as above
        read = float(value)  # type: ignore[arg-type]  # as above
    else:
        return None
    # The sum takes the sign from a negative zero.
    return read + 0.0 if 0.0 <= read < math.inf else None


# From here on not every integer is a float; such a number is kept as one, since integers have no end.
_TOO_LARGE_TO_COUNT: Final = 1 << 53


def count(value: object) -> float | None:
    """A number of things: `8`, `8.0` and `"8"` are an integer; None for what `number` refuses, and for a fraction."""
    if type(value) is int and 0 <= value < _TOO_LARGE_TO_COUNT:
        return value
    read = number(value)
    if read is None or not read.is_integer():
        return None
    return int(read) if read < _TOO_LARGE_TO_COUNT else read


def counts(values: dict[str, object], known: Iterable[str]) -> dict[str, float]:
    """
    The numbers of things among some values, without those that `count` refuses.

    Beyond the known ones and `MOST_ENTRIES` others, the numbers are added up under `other`, and the values used up.
    """
    found: dict[str, float] = {}
    for name, value in values.items() if len(values) <= MOST_ENTRIES else _few(values, known):
        # The ordinary case, without a call for each.
        if type(value) is int and 0 <= value < _TOO_LARGE_TO_COUNT:
            found[name] = value
        elif (read := count(value)) is not None:
            found[name] = read
    return found


def _few(values: dict[str, object], known: Iterable[str]) -> Iterator[tuple[str, object]]:
    """The known entries, the first others, and the sum of the rest."""
    rest = count(values.pop(OVERFLOW, 0)) or 0
    yield from [(name, values.pop(name)) for name in known if name in values]
    yield from list(islice(values.items(), MOST_ENTRIES))
    # One by one: to free all of them in one step would let no other thread run meanwhile.
    while len(values) > MOST_ENTRIES:
        rest += count(values.popitem()[1]) or 0
    yield OVERFLOW, rest


def used_up(items: list[T]) -> Iterator[T]:
    """The items of a list, each of which can be freed before the next one; the list is empty then."""
    items.reverse()
    while items:
        yield items.pop()


def read_moment(value: object, *, assumed: tzinfo | None = None) -> float | None:
    """
    Read an ISO 8601 date-time.

    Args:
        assumed: The timezone of one without an offset; None refuses it.

    Returns:
        Unix time; None for a moment before 1970 or after 9999 in UTC, and for what is no date-time.
    """
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            if assumed is None:
                return None
            moment = moment.replace(tzinfo=assumed)
        return number(moment.astimezone(UTC).timestamp())
    except (ValueError, OverflowError):
        return None
