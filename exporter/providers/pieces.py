"""Reads large JSON documents in small pieces, so that other threads get their turn in between."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

PIECE: Final = 4096
"""Characters that are decoded in one step, during which no other thread runs."""
_SPACE: Final = re.compile(r"[ \t\n\r]*")


def read_pieces(text: str, parse_int: Callable[[str], object]) -> object:
    """
    Read a JSON document.

    Args:
        parse_int: Reads the digits of an integer.

    Raises:
        json.JSONDecodeError: No JSON.
        RecursionError: Nested too deeply.
    """
    pieces = _Pieces(text, parse_int)
    value, end = pieces.value(pieces.skip(0))
    if pieces.skip(end) != len(text):
        raise json.JSONDecodeError("Extra data", text, end)
    return value


class _Pieces:
    """Each method reads what begins at a place in the text, and returns it with the place behind it."""

    def __init__(self, text: str, parse_int: Callable[[str], object]) -> None:
        decoder = json.JSONDecoder(parse_int=parse_int)
        self._text = text
        self._decode = decoder.raw_decode
        self._decode_all = decoder.decode

    def skip(self, at: int) -> int:
        """The next place that is no white space."""
        match = _SPACE.match(self._text, at)
        return match.end() if match else at

    def value(self, at: int) -> tuple[Any, int]:
        opening = self._text[at : at + 1]
        if opening not in ("{", "["):
            return self._decode(self._text, at)
        try:
            value, length = self._decode(self._text[at : at + PIECE])
        except json.JSONDecodeError:
            return self._object(at) if opening == "{" else self._array(at)
        return value, at + length

    def _object(self, at: int) -> tuple[dict[str, Any], int]:
        members: dict[str, Any] = {}
        at = self.skip(at + 1)
        if self._text[at : at + 1] == "}":
            return members, at + 1
        while self._text[at : at + 1] == '"':
            some, end = self._some(at, "{", "}")
            if some:
                members.update(some)
                at = self.skip(end)
                continue
            name, at = self._decode(self._text, at)
            members[name], at = self.value(self._behind(":", at))
            at = self.skip(at)
            if self._text[at : at + 1] == "}":
                return members, at + 1
            at = self._behind(",", at)
        raise json.JSONDecodeError("Expecting a name", self._text, at)

    def _array(self, at: int) -> tuple[list[Any], int]:
        items: list[Any] = []
        at = self.skip(at + 1)
        if self._text[at : at + 1] == "]":
            return items, at + 1
        while True:
            some, end = self._some(at, "[", "]")
            if some:
                items += some
                at = self.skip(end)
                continue
            item, at = self.value(at)
            items.append(item)
            at = self.skip(at)
            if self._text[at : at + 1] == "]":
                return items, at + 1
            at = self._behind(",", at)

    def _some(self, at: int, opening: str, closing: str) -> tuple[Any, int]:
        """Several members, and the place behind the comma that follows them; None where none could be read so."""
        for end in self._ends(at):
            try:
                return self._decode_all(opening + self._text[at:end] + closing), end + 1
            except json.JSONDecodeError:
                # The comma belongs to something inside.
                continue
        return None, at

    def _ends(self, at: int) -> Iterator[int]:
        """Commas that may follow a member."""
        for ending in (",", "},"):
            if (found := self._text.rfind(ending, at, at + PIECE)) > at:
                yield found + len(ending) - 1

    def _behind(self, mark: str, at: int) -> int:
        """The place behind a mark and the white space around it."""
        at = self.skip(at)
        if self._text[at : at + 1] != mark:
            raise json.JSONDecodeError(f"Expecting {mark!r}", self._text, at)
        return self.skip(at + 1)
