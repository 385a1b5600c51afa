"""Lines of the text formats: labels and numbers as Prometheus reads them."""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import cast

from exporter.exposition.families import AccountView, CampaignFamily, Family, Reading

# As many as a few thousand campaigns invent; most are a dozen words of the providers.
_ESCAPES_KEPT = 4096
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


@lru_cache(_ESCAPES_KEPT)
def escape(value: str) -> str:
    """Escape a label value as both text formats want it."""
    return value.translate(_ESCAPES)


def label_block(labels: Iterable[tuple[str, str]]) -> str:
    """Write labels without the braces around them."""
    return ",".join(f'{name}="{escape(value)}"' for name, value in labels)


Renderer = Callable[[str, Reading], bytes]


def number_format(family: CampaignFamily | Family[AccountView]) -> str:
    """
    How a family's numbers are written, for an f-string: to 14 digits, or as Python does, which Prometheus reads alike.
    """
    return ":.14g" if family.by_clock else "!r"


def renderer(family: CampaignFamily | Family[AccountView]) -> Renderer:
    """Make the function that writes a family's lines for one subject: its label block and its reading in."""
    begin = family.name + "{"
    if not family.labels:
        write = f"{{{number_format(family)}}}".format
        return lambda labels, value: b"" if value is None else f"{begin}{labels}}} {write(value)}\n".encode()
    keys = family.labels
    if len(keys) == 1:
        then = f',{keys[0]}="'

        def one_label(labels: str, value: Reading) -> bytes:
            numbers = cast(Mapping[str, float], value or {})
            start = begin + labels + then
            return "".join([f'{start}{escape(at)}"}} {number!r}\n' for at, number in numbers.items()]).encode()

        return one_label

    def several_labels(labels: str, value: Reading) -> bytes:
        numbers = {value: 1} if isinstance(value, tuple) else cast(Mapping[tuple[str, ...], float], value or {})
        return "".join(
            [
                f"{begin}{labels},{label_block(zip(keys, at, strict=True))}}} {number!r}\n"
                for at, number in numbers.items()
            ]
        ).encode()

    return several_labels
