"""
The exporter with finer instruments: `python -m benchmarks.instrumented` takes the exporter's own flags.

The buckets for late polls are a millisecond wide, and SIGUSR1 has it write a line of JSON on standard output: the
longest step of a task since the last SIGUSR1, by processor time, and how many tasks there are.
"""

import asyncio
import json
import signal
import sys

from benchmarks.holds import Holds
from exporter import cli
from exporter.polling import counters

_new_event_loop = cli.new_event_loop


def _instrumented_loop() -> asyncio.AbstractEventLoop:
    loop = _new_event_loop()
    holds = Holds()
    holds.watch(loop)

    def report() -> None:
        print(json.dumps({"hold": holds.longest, "tasks": len(asyncio.all_tasks(loop))}), flush=True)
        holds.longest = 0.0

    loop.add_signal_handler(signal.SIGUSR1, report)
    return loop


if __name__ == "__main__":
    bounds = tuple(milliseconds / 1000 for milliseconds in range(1, 101))
    setattr(counters, "LAG_SECONDS", bounds)  # noqa: B010 -- of another length than its type says
    cli.new_event_loop = _instrumented_loop
    sys.exit(cli.main())
