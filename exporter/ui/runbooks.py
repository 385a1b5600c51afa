"""The runbooks that came with the package, as HTML with the labels of an alert in their queries. Pure."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

PLACEHOLDERS = {"account": "ACCOUNT", "campaign": "CAMPAIGN"}
"""What stands in the queries in place of an alert's labels."""

_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")

# The paragraph that says to fill in what the page fills in itself
_INSTRUCTION = re.compile(r"^Put the alert's labels in place of.*?(?:\n\n|\Z)", re.MULTILINE | re.DOTALL)

# Comments, a line, and the lines after it that are indented or close its parentheses
_QUERY = re.compile(r"(?:^#.*\n)*^[^#\s].*(?:\n[ )].*)*", re.MULTILINE)


def read_runbooks(folder: Path = Path(__file__).parent.parent / "runbooks") -> dict[str, str]:
    """Read the runbooks, Markdown by the name of the alert."""
    return {file.stem: file.read_text(encoding="utf-8") for file in folder.glob("*.md")}


def render(text: str, labels: Mapping[str, str]) -> Markup:
    """
    Turn a runbook into HTML, each query in a block of its own with an alert's labels in it.

    HTML in the Markdown is shown as text; an empty label leaves its placeholder.
    """
    tokens = _MARKDOWN.parse(_INSTRUCTION.sub("", text))
    filled = [block for token in tokens for block in _blocks(token, labels)]
    return Markup(_MARKDOWN.renderer.render(filled, _MARKDOWN.options, {}))  # noqa: S704 -- the renderer escapes


def placeholders(text: str) -> list[str]:
    """Name the labels that a runbook's queries ask for."""
    return [name for name, placeholder in PLACEHOLDERS.items() if f'"{placeholder}"' in text]


def _blocks(token: Token, labels: Mapping[str, str]) -> Iterator[Token]:
    """Split a block of queries, so that each can be copied whole, and fill in the labels."""
    if token.type != "fence" or token.info != "promql":
        yield token
        return
    for query in _QUERY.findall(token.content):
        for name, placeholder in PLACEHOLDERS.items():
            if value := labels.get(name):
                query = query.replace(f'"{placeholder}"', f'"{_escape(value)}"')
        yield token.copy(content=query)


def _escape(value: str) -> str:
    """Escape a text for a string of PromQL."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
