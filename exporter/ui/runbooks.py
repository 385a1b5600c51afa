"""The runbooks that came with the package, as HTML with the labels of an alert in their queries. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

PLACEHOLDERS = {"account": "ACCOUNT", "campaign": "CAMPAIGN"}
"""What stands in the queries in place of an alert's labels."""

_PUT_LABELS = "Put the alert's labels in place of"
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")


def read_runbooks(folder: Path = Path(__file__).parent.parent / "runbooks") -> dict[str, str]:
    """Read the runbooks, Markdown by the name of the alert."""
    return {file.stem: file.read_text(encoding="utf-8") for file in folder.glob("*.md")}


def render(text: str, labels: Mapping[str, str]) -> Markup:
    """
    Turn a runbook into HTML, each query in a block of its own.

    Args:
        text: Markdown; HTML in it is shown as text.
        labels: Values for `PLACEHOLDERS`; an empty one leaves its placeholder.
    """
    tokens = _without_instruction(_MARKDOWN.parse(text))
    filled = [block for token in tokens for block in _blocks(token, labels)]
    return Markup(_MARKDOWN.renderer.render(filled, _MARKDOWN.options, {}))  # noqa: S704 -- the renderer escapes


def placeholders(text: str) -> list[str]:
    """Name the labels that a runbook's queries ask for."""
    return [name for name, placeholder in PLACEHOLDERS.items() if f'"{placeholder}"' in text]


def _without_instruction(tokens: Sequence[Token]) -> Iterator[Token]:
    """Leave out the paragraph that says to fill in what the page fills in itself."""
    instructed = {
        place + shift
        for place, token in enumerate(tokens)
        if token.type == "inline" and token.content.startswith(_PUT_LABELS)
        for shift in (-1, 0, 1)
    }
    return (token for place, token in enumerate(tokens) if place not in instructed)


def _blocks(token: Token, labels: Mapping[str, str]) -> Iterator[Token]:
    """Split a block of queries, so that each can be copied whole, and fill in the labels."""
    if token.type != "fence" or token.info != "promql":
        yield token
        return
    for query in _queries(token.content):
        for name, placeholder in PLACEHOLDERS.items():
            if value := labels.get(name):
                query = query.replace(f'"{placeholder}"', f'"{_escape(value)}"')
        yield token.copy(content=query)


def _queries(block: str) -> Iterator[str]:
    """Yield the queries of a block: one a line, with the comments above it; a longer one goes on indented."""
    query: list[str] = []
    for line in filter(str.strip, block.splitlines()):
        if query and not query[-1].startswith("#") and not line.startswith((" ", ")")):
            yield "\n".join(query)
            query = []
        query.append(line)
    if query:
        yield "\n".join(query)


def _escape(value: str) -> str:
    """Escape a text for a string of PromQL."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
