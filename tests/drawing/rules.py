"""
What the shipped rules make of a recorded history: recorded series, and alerts with their true waiting.

`promtool test rules` evaluates rules with Prometheus' own code on a clock that begins at 0 and jumps. It compares
answers with expectations and prints where they differ. Here nothing is expected, so it prints all that there is.
"""

import json
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

STEP = 60
"""Seconds between two evaluations."""

_MADE = '{__name__=~"ALERTS|ALERTS_FOR_STATE|.+:.+"}'
_MOMENT = re.compile(r" time: (\S+?), *\n *exp: .*\n *got: *(.*)")
_SAMPLE = re.compile(r'\{((?:[^{}"]|"(?:\\.|[^"\\])*")*)\} (\S+?)(?:, |$)')
_LABEL = re.compile(r'(\w+)=("(?:\\.|[^"\\])*")')
_SPAN = re.compile(r"(\d+)([hms])")
_SECONDS = {"h": 3600, "m": 60, "s": 1}


def evaluated(history: Path, rules: Path, *, start: int, end: int, step: int) -> Iterator[str]:
    """
    Yield the samples that the rules make, as lines of OpenMetrics text.

    Args:
        history: OpenMetrics text with a time for each sample.
        rules: The file of rules.
        start: Unix time of the first sample.
        end: Unix time of the last evaluation.
        step: Seconds between two samples.
    """
    test = {
        "rule_files": [str(rules)],
        "evaluation_interval": f"{STEP}s",
        "tests": [
            {
                "interval": f"{step}s",
                "input_series": list(_input(history, _selected(rules), start, end, step)),
                "promql_expr_test": [
                    {"expr": _MADE, "eval_time": f"{moment}s", "exp_samples": []}
                    for moment in range(0, end - start + 1, STEP)
                ],
            }
        ],
    }
    file = history.with_suffix(".test.json")
    file.write_text(json.dumps(test), encoding="utf-8")
    said = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False)
    return _samples(said.stdout + said.stderr, start)


def _selected(rules: Path) -> set[str]:
    """The metrics that the rules can select."""
    return set(re.findall(r"\bcampaign_\w+|\bup\b", rules.read_text(encoding="utf-8")))


def _input(history: Path, metrics: set[str], start: int, end: int, step: int) -> Iterator[dict[str, str]]:
    """The series of a history in the notation of promtool."""
    series: defaultdict[str, dict[int, str]] = defaultdict(dict)
    with history.open(encoding="utf-8") as lines:
        for line in lines:
            name, brace, _ = line.partition("{")
            if brace and name in metrics:
                block, value, moment = line.rsplit(" ", 2)
                shown = str(float(value) - start) if _is_time(name) else value
                series[block][(int(moment) - start) // step] = shown
    places = range((end - start) // step + 1)
    for block, values in series.items():
        yield {"series": block, "values": " ".join(values.get(place, "_") for place in places)}


def _is_time(name: str) -> bool:
    """Whether the values of a metric are moments, which the clock of promtool moves."""
    return name == "ALERTS_FOR_STATE" or "timestamp" in name


def _samples(said: str, start: int) -> Iterator[str]:
    for found in _MOMENT.finditer(said):
        span, got = found.groups()
        moment = start + sum(int(number) * _SECONDS[unit] for number, unit in _SPAN.findall(span))
        for block, value in _SAMPLE.findall(got):
            labels = dict(_LABEL.findall(block))
            name = labels.pop("__name__").strip('"')
            pairs = ",".join(f"{label}={quoted}" for label, quoted in labels.items())
            yield f"{name}{{{pairs}}} {float(value) + (start if _is_time(name) else 0)!r} {moment}\n"
