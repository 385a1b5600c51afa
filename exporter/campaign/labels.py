"""Label values that stay few, short and valid, whatever a provider invents."""

from collections.abc import Callable, Iterable, Mapping

MAX_LENGTH = 128
MAX_VALUES = 50
OVERFLOW = "other"


def clean(value: str) -> str:
    """Cut to 128 characters; what is not valid Unicode becomes U+FFFD."""
    value = value[:MAX_LENGTH]
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


class LabelBudget:
    """
    Lets the first values through that a provider invents; later ones become `other`.

    The documented values are always let through and count. What was let through once stays so for the life
    of the process, so that a series never changes its meaning.
    """

    __slots__ = ("_on_overflow", "_rank")

    def __init__(self, known: Iterable[str], on_overflow: Callable[[], None]) -> None:
        self._rank = {value: rank for rank, value in enumerate(known)}
        self._on_overflow = on_overflow

    def admit(self, value: str) -> str:
        value = clean(value)
        if value in self._rank or value == OVERFLOW:
            return value
        if len(self._rank) >= MAX_VALUES:
            self._on_overflow()
            return OVERFLOW
        self._rank[value] = len(self._rank)
        return value

    def fold(self, numbers: Mapping[str, float]) -> dict[str, float]:
        """Add up the numbers by admitted value: the documented ones first, then as first seen, `other` last."""
        folded: dict[str, float] = {}
        for value, number in numbers.items():
            admitted = self.admit(value)
            folded[admitted] = folded.get(admitted, 0) + number
        return dict(sorted(folded.items(), key=lambda item: self.rank(item[0])))

    def rank(self, admitted: str) -> int:
        """Where an admitted value stands in a stable order."""
        return self._rank.get(admitted, MAX_VALUES)
