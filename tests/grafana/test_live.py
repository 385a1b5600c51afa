"""The dashboards against a running demo, scraped by a real Prometheus with the shipped rules."""

import contextlib
import json
import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from grafana.build import ROOT
from tests.grafana.promql import filled_in
from tests.process import exporter, prometheus, until

Dashboard = dict[str, Any]

NEED_MINUTES = {
    "campaign-exporter-campaigns: Accounts: Used",
    "campaign-exporter-campaigns: Use of the limit by account: A",
    "campaign-exporter-campaign: Calls at once: Account",
    "campaign-exporter-campaign: Call duration: Median",
    "campaign-exporter-campaign: Call duration: P95",
}
"""The use of a limit needs five minutes of polls, and calls are counted from the second reading of attempts on."""

SECONDS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, slots=True)
class Question:
    """
    One query as Grafana sends it.

    Attributes:
        place: Dashboard, panel and reference, or the variable or annotation.
        expr: PromQL without variables.
        instant: Whether one moment is asked about, not a span of time.
    """

    place: str
    expr: str
    instant: bool


def rate_interval(target: dict[str, Any]) -> str:
    """What `$__rate_interval` becomes: four minimal steps, or a little more than four scrapes."""
    step = target.get("interval")
    return f"{4 * int(step[:-1]) * SECONDS[step[-1]]}s" if step else "10s"


def without_the_past(expr: str) -> str:
    """Look back some seconds where a panel looks back hours or days: the demo is as young as the test."""
    return re.sub(r"offset 1[hdw]", "offset 3s", re.sub(r"\[1[hd]:1m\]", "[20s:1s]", expr))


def questions(dashboards: dict[str, Dashboard]) -> Iterator[Question]:
    """Every query of every panel, variable and annotation."""
    for name, dashboard in dashboards.items():
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                yield Question(
                    f"{name}: {panel['title']}: {target['refId']}",
                    without_the_past(filled_in(target["expr"], rate_interval=rate_interval(target))),
                    target["instant"],
                )
        for variable in dashboard["templating"]["list"][1:]:
            asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert asked
            yield Question(
                f"{name}: variable {variable['name']}", f"group by ({asked[2]}) ({filled_in(asked[1])})", instant=True
            )
        for annotation in dashboard["annotations"]["list"]:
            yield Question(f"{name}: {annotation['name']}", filled_in(annotation["expr"]), instant=False)


AFTER_FIVE_MINUTES = ("campaign_account_utilization_ratio", "campaign_account_concurrency_limit")
"""A metric that is known when five minutes were observed, and one with the same labels that is known at once."""


class Server:
    """A Prometheus that is asked as Grafana asks it."""

    def __init__(self, session: aiohttp.ClientSession, address: str) -> None:
        self._session = session
        self._address = address

    async def series(self, question: Question) -> list[dict[str, Any]]:
        """The series of the answer; an expression that is not accepted is an AssertionError that says why."""
        now = time.time()
        path, moment = (
            ("query", {"time": now}) if question.instant else ("query_range", {"start": now - 20, "end": now})
        )
        data = {"query": question.expr.replace(*AFTER_FIVE_MINUTES), "step": 1, **moment}
        async with self._session.post(f"{self._address}/api/v1/{path}", data=data) as response:
            answer = await response.json()
        assert answer["status"] == "success", f"{question.place}: {answer}"
        series: list[dict[str, Any]] = answer["data"]["result"]
        return series

    async def has_a_number(self, question: Question) -> bool:
        """Say whether any series of the answer has a number at any time."""
        return any(
            math.isfinite(float(value))
            for series in await self.series(question)
            for _, value in series.get("values", [series.get("value")])
        )

    async def providers(self, question: Question) -> set[str]:
        """Return the providers whose campaigns have a value."""
        return {series["metric"]["provider"] for series in await self.series(question)}


def configuration(directory: Path, exporter_address: str) -> str:
    """Scrapes every second, and the shipped rules without their waiting."""
    rules = (ROOT / "deploy" / "prometheus" / "rules" / "campaign-exporter.rules.yml").read_text(encoding="utf-8")
    eager = directory / "rules.yml"
    eager.write_text(re.sub(r"\bfor: \w+", "for: 0s", rules), encoding="utf-8")
    target = {"targets": [exporter_address.removeprefix("http://")]}
    return json.dumps(
        {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(eager)],
            "scrape_configs": [{"job_name": "campaign-exporter", "static_configs": [target]}],
        }
    )


async def test_every_query_of_every_panel_variable_and_annotation_has_an_answer(
    tmp_path: Path, dashboards: dict[str, Dashboard]
) -> None:
    empty = set(questions(dashboards))
    async with (
        exporter("demo", "--speed=60", "--poll.active-interval=1s", "--poll.idle-interval=1s") as (_, address),
        prometheus(tmp_path, configuration(tmp_path, address)) as server_address,
        aiohttp.ClientSession() as session,
    ):
        server = Server(session, server_address)

        async def none_is_empty() -> bool:
            for question in sorted(empty, key=lambda question: question.place):
                if await server.has_a_number(question):
                    empty.discard(question)
            return {question.place for question in empty} <= NEED_MINUTES

        with contextlib.suppress(TimeoutError):
            await until(none_is_empty)
        assert {question.place for question in empty} <= NEED_MINUTES

        column = {
            question.place.removeprefix("campaign-exporter-campaigns: All campaigns: "): question
            for question in questions(dashboards)
        }
        for name in ("State", "Name", "Why", "Progress", "Pace"):
            assert await server.providers(column[name]) == {"anyreach", "osvi"}
        # What OSVI does not send has no value, which is not 0.
        for name in ("Finish",):
            assert await server.providers(column[name]) == {"anyreach"}
