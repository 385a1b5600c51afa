"""
Thousands of campaigns under random faults and reloads, for as long as you like.

What must hold: memory and tasks stay flat, descriptors within their limit, every counter only rises, no campaign's
polling is lost, none that has gone is asked for any more, and a wrong configuration changes nothing.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.fleet import campaign_id, configuration
from benchmarks.subject import Subject, subject
from benchmarks.upstream import upstream

_INTERVAL = 2.0
_CHECK_INTERVAL = 2.0
_RELOAD = 10.0
_HEALING = 30.0
_ACCOUNTS = 2
_MAX_IN_FLIGHT = 32
# Listening sockets, the loop's own, standard streams, and the scrape that looks.
_OTHER_DESCRIPTORS = 20
_OSVI = 200
_WATCHED = 6

Series = tuple[str, tuple[tuple[str, str], ...]]


class Counters:
    """Every counter of the page, and each that has ever fallen."""

    def __init__(self) -> None:
        self._last: dict[Series, float] = {}
        self.fallen: list[str] = []
        self.looked_at = 0

    def look(self, page: str) -> None:
        """Compare with the last page; a series that was away may begin anew."""
        now: dict[Series, float] = {}
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                if sample.name.endswith(("_total", "_bucket", "_count", "_sum")):
                    now[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
        self.fallen += [
            f"{series}: {self._last[series]} to {value}"
            for series, value in now.items()
            if value < self._last.get(series, value)
        ]
        self._last = now
        self.looked_at += 1


class Soak:
    """One run."""

    def __init__(self, base_url: str, file: Path, campaigns: int, seed: int) -> None:
        self._base_url = base_url
        self._file = file
        self._random = random.Random(seed)
        self._all = campaigns
        self.places = set(range(campaigns))
        self.counters = Counters()
        self.megabytes: list[float] = []
        self.descriptors: list[float] = []
        self.tasks: list[float] = []
        self.reloads = self.refused = 0
        self.surprises: list[str] = []

    def run(self, exporter: Subject, seconds: float) -> None:
        """Let it be, and reload now and then."""
        self._exporter = exporter
        ends = time.monotonic() + seconds
        reload_at = time.monotonic() + _RELOAD
        while time.monotonic() < ends:
            time.sleep(_CHECK_INTERVAL)
            self.look()
            if time.monotonic() >= reload_at:
                self._reload()
                # At once, so that a campaign that goes and comes back is seen to be away between.
                self.look()
                reload_at = time.monotonic() + _RELOAD

    def look(self) -> None:
        self.counters.look(self._exporter.get("/metrics").decode())
        self.megabytes.append(self._exporter.resident_megabytes)
        self.descriptors.append(self._exporter.descriptors)
        self.tasks.append(self._exporter.tasks)

    def configuration(self) -> str:
        """The file that is in force, or will be."""
        text = configuration(
            self._base_url, self._all, _INTERVAL, osvi=_OSVI, team=f"team-{self.reloads}", places=self.places
        )
        # So few that all of them are needed now and then: otherwise tasks would rise for long.
        return text.replace("max_in_flight: 256", f"max_in_flight: {_MAX_IN_FLIGHT}")

    def _reload(self) -> None:
        if self._random.random() < 0.2:
            self._file.write_text("accounts: [{name: acme, provider: nobody}]\n", encoding="utf-8")
            try:
                self._exporter.get("/-/reload", method="POST")
                self.surprises.append("a wrong configuration was taken")
            except urllib.error.HTTPError as exc:
                exc.close()
                self.refused += 1
            return
        self.places = {place for place in range(self._all) if self._random.random() < 0.95}
        self._file.write_text(self.configuration(), encoding="utf-8")
        try:
            self._exporter.get("/-/reload", method="POST")
            self.reloads += 1
        except urllib.error.HTTPError as exc:
            self.surprises.append(f"a configuration was refused: {exc.read().decode()}")

    def asked(self) -> dict[str, int]:
        with urllib.request.urlopen(f"{self._base_url}/counts") as answer:  # noqa: S310 -- http on loopback
            counts: dict[str, int] = json.loads(answer.read())
            return counts

    def lost(self) -> list[str]:
        """Campaigns that are not polled in time once the providers are well, and such as are still asked for."""
        urllib.request.urlopen(f"{self._base_url}/heal").close()  # noqa: S310 -- http on loopback
        time.sleep(_HEALING)
        before = self.asked()
        time.sleep(_WATCHED * _INTERVAL)
        after = self.asked()
        paths = {f"/campaign/campaigns/{campaign_id(place)}/stats": place in self.places for place in range(self._all)}
        paths |= {f"/v1/campaigns/{number + 1}/status": True for number in range(_OSVI)}
        wrong = []
        for path, wanted in paths.items():
            polls = after.get(path, 0) - before.get(path, 0)
            # The jitter of a tenth takes away less than one; a busy machine may take some more.
            if not (_WATCHED // 2 <= polls <= _WATCHED + 1 if wanted else polls == 0):
                wrong.append(f"{path}: {polls} polls in {_WATCHED * _INTERVAL:g} s")
        up = self._exporter.samples("campaign_up")
        wrong += [f"{series}: down" for series, value in up.items() if value != 1.0]
        if len(up) != len(self.places) + _OSVI:
            wrong.append(f"{len(up)} campaigns are shown, {len(self.places) + _OSVI} are configured")
        return wrong


def flat(values: Sequence[float], leeway: float) -> tuple[bool, str]:
    """Whether the last quarter is no higher than the second one, but for this part of it."""
    quarter = len(values) // 4
    early, late = statistics.median(values[quarter : 2 * quarter]), statistics.median(values[-quarter:])
    return late <= early * (1 + leeway), f"{early:,.0f} to {late:,.0f} (at most {max(values):,.0f})"


def soak(seconds: float, campaigns: int, seed: int, tell: Callable[[str], None]) -> bool:
    """Run, and tell how it went; True when everything held."""
    with tempfile.TemporaryDirectory() as folder, upstream(module="benchmarks.faults") as base_url:
        file = Path(folder) / "campaigns.yml"
        run = Soak(base_url, file, campaigns, seed)
        with subject(run.configuration(), file) as exporter:
            exporter.until_ready()
            run.run(exporter, seconds)
            lost = run.lost()
            run.look()
            polls = exporter.polls()
    successes, failures = polls.pop("success"), {reason: int(n) for reason, n in polls.items() if n}
    checks = {
        "memory in MB, second to last quarter": flat(run.megabytes, 0.05),
        # Polls that are due at once need a connection each, so their number goes up and down within its limit.
        "descriptors": (
            max(run.descriptors) <= _ACCOUNTS * _MAX_IN_FLIGHT + _OTHER_DESCRIPTORS,
            f"{min(run.descriptors):.0f} to {max(run.descriptors):.0f}",
        ),
        "tasks": flat(run.tasks, 0.1),
        "counters that fell": (
            not run.counters.fallen,
            f"{len(run.counters.fallen)} in {run.counters.looked_at} pages",
        ),
        "campaigns lost, or polled without being configured": (not lost, str(len(lost))),
        "reloads": (
            run.reloads > 0 and not run.surprises,
            f"{run.reloads}, and {run.refused} refused as they should be",
        ),
        "polls": (bool(failures), f"{successes:,.0f} successes; {failures}"),
    }
    tell("| What | Held | Figures |\n| --- | --- | --- |")
    for what, (held, figures) in checks.items():
        tell(f"| {what} | {'yes' if held else '**no**'} | {figures} |")
    for fault in (*run.counters.fallen[:10], *lost[:10], *run.surprises[:10]):
        tell(fault)
    return all(held for held, _ in checks.values())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--campaigns", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1, help="of the reloads")
    arguments = parser.parse_args()
    return 0 if soak(arguments.seconds, arguments.campaigns, arguments.seed, print) else 1


if __name__ == "__main__":
    sys.exit(main())
