"""
What the tests need to know of a PromQL expression: its selectors, and which functions stand around them.

It reads the dialect that the dashboards are written in, where every selector has braces; whether an expression is
PromQL at all is asked of Prometheus' own tool.
"""

import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
    (?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
    | (?P<range>\[[^\]]*\])
    | (?P<name>[a-zA-Z_:][a-zA-Z0-9_:.]*)
    | (?P<number>\d[\w.]*)
    | (?P<other>\S)
    """,
    re.VERBOSE,
)
_LISTS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
_WORDS = _LISTS | {"and", "or", "unless", "bool", "offset", "inf", "nan"}


@dataclass(frozen=True, slots=True)
class Selector:
    """
    One vector selector.

    Attributes:
        metric: Name of the metric.
        matchers: Label, operator and quoted value of each matcher.
        window: Range in its brackets, empty for an instant vector.
        function: Function or aggregation whose argument it is, without parentheses between; empty for none.
    """

    metric: str
    matchers: tuple[tuple[str, str, str], ...]
    window: str
    function: str


def selectors(expr: str) -> list[Selector]:
    """Every selector of an expression, from left to right."""
    tokens = [(match.lastgroup or "", match.group()) for match in _TOKEN.finditer(expr)]
    found: list[Selector] = []
    # The function, or an empty string for a mere parenthesis, of each parenthesis that is open.
    open_calls: list[str] = []
    before = ""
    index = 0
    while index < len(tokens):
        kind, text = tokens[index]
        follower = tokens[index + 1][1] if index + 1 < len(tokens) else ""
        if kind == "name" and text in _LISTS and follower == "(":
            while tokens[index][1] != ")":
                index += 1
        elif kind == "name" and text not in _WORDS and follower != "(" and not _begins_an_aggregation(follower):
            end = index + 1
            matchers: tuple[tuple[str, str, str], ...] = ()
            if follower == "{":
                end = next(i for i in range(index, len(tokens)) if tokens[i][1] == "}") + 1
                inside = "".join(token for _, token in tokens[index + 2 : end - 1])
                matchers = tuple(re.findall(r'(\w+)(=~|!~|!=|=)("(?:\\.|[^"\\])*")', inside))
            window = tokens[end][1][1:-1] if end < len(tokens) and tokens[end][0] == "range" else ""
            found.append(Selector(text, matchers, window, open_calls[-1] if open_calls else ""))
            index = end - 1
        elif kind == "name" and text not in _WORDS:
            before = text
        elif text == "(":
            open_calls.append(before)
            before = ""
        elif text == ")":
            open_calls.pop()
        index += 1
    return found


def _begins_an_aggregation(follower: str) -> bool:
    return follower in {"by", "without"}


def filled_in(expr: str, *, rate_interval: str = "1m") -> str:
    """The expression as Grafana sends it when all of everything is chosen."""
    chosen = expr.replace("$__rate_interval", rate_interval).replace("$cluster", ".*")
    return re.sub(r"\$[a-z]\w*", ".+", chosen)


def parse_errors(exprs: Sequence[str]) -> list[str]:
    """What promtool says of expressions that Prometheus would not accept."""
    rules = [{"record": "checked", "expr": expr, "labels": {"n": str(n)}} for n, expr in enumerate(exprs)]
    answer = subprocess.run(
        ["promtool", "check", "rules", "--lint=none", "/dev/stdin"],
        input=json.dumps({"groups": [{"name": "checked", "rules": rules}]}),
        capture_output=True,
        text=True,
        check=False,
    )
    faults = [
        line.strip() for line in answer.stderr.splitlines() if "could not parse" in line or "field 'expr'" in line
    ]
    assert bool(faults) == (answer.returncode != 0), answer.stdout + answer.stderr
    return faults
