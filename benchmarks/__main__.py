"""Measure everything, print a table, and write it as JSON where that is asked for."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import poll, process, scrape
from benchmarks.results import Row, table, write

AREAS = ("scrape", "poll", "memory", "start")


def everything(areas: Sequence[str], *, quick: bool) -> Iterator[Row]:
    """The figures of some areas; `quick` only shows that they can be had."""
    if "scrape" in areas:
        yield from scrape.measure([20, 40] if quick else [1_000, 10_000, 30_000], rounds=1 if quick else 9)
    if "poll" in areas:
        if quick:
            yield from poll.measure(rate=100, large=100, seconds=0.5, rounds=1)
            yield from poll.measure_two_accounts(20, seconds=0.5)
        else:
            yield from poll.measure(rate=2_000, large=10_000, seconds=5.0, rounds=9)
            yield from poll.measure_two_accounts(1_000, seconds=20.0)
    if "memory" in areas:
        if quick:
            yield from process.measure_sizes([20, 40, 60], rate=100, seconds=1.0)
        else:
            yield from process.measure_sizes([1_000, 10_000, 30_000], rate=1_000, seconds=10.0)
    if "start" in areas:
        if quick:
            yield from process.measure_start([40], rounds=1, interval=1.0)
        else:
            yield from process.measure_start([1_000, 10_000, 30_000], rounds=3, interval=5.0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("areas", nargs="*", metavar="AREA", help=f"some of {', '.join(AREAS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="small and short: shows that it works, measures nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    arguments = parser.parse_args()
    if unknown := set(arguments.areas) - set(AREAS):
        parser.error(f"no such area: {', '.join(sorted(unknown))}")
    rows = []
    for one in everything(arguments.areas or AREAS, quick=arguments.quick):
        print(f"{one.area}: {one.what}, {one.campaigns:,} campaigns: {one.value:,.3g} {one.unit}", file=sys.stderr)
        rows.append(one)
    print(table(rows))
    if arguments.json is not None:
        write(rows, arguments.json)


if __name__ == "__main__":
    main()
