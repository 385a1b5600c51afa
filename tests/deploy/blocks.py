"""The fenced blocks of the documents: what a reader copies."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")], key=lambda file: file.as_posix()
)

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """
    One fenced block.

    Attributes:
        file: Its document, from the root of the repository.
        line: Of its first line.
        language: As the fence names it.
        text: What stands between the fences.
    """

    file: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def blocks_of(document: Path) -> Iterator[Block]:
    content = document.read_text(encoding="utf-8")
    for fence in _FENCE.finditer(content):
        line = content.count("\n", 0, fence.start()) + 2
        yield Block(document.relative_to(ROOT).as_posix(), line, fence[2], fence[3])


BLOCKS = [block for document in DOCUMENTS for block in blocks_of(document)]


def written_in(language: str) -> list[Block]:
    """All blocks of a language, in the order of the documents."""
    return [block for block in BLOCKS if block.language == language]
