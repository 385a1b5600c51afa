"""Signals hold from the first moment, in the real process."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from tests.process import PATIENCE, exporter, output_of, running
from tests.providers import loopback

CONFIGURATION = """\
accounts:
  - {name: acme, provider: osvi, token: secret, base_url: "http://127.0.0.1:9", campaigns: [{id: 7}]}
"""
# Its handlers are there, and nothing else is yet.
HELD = "import sys; from exporter import signals; signals.hold(); print('held', file=sys.stderr, flush=True);"
WAIT = "import time; time.sleep(30)"
RUN = "from exporter.cli import main; sys.exit(main())"
# Interrupts the process when it begins to import the command line.
INTERRUPTED = """\
import os, signal, sys
class Interrupt:
    def find_spec(self, name, *_):
        if name == "exporter.cli":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
from exporter.__main__ import main
sys.exit(main())
"""

LAST_MOMENT = """\
import asyncio, os
from exporter.cli import new_event_loop
from exporter.daemon import handled_signals
async def end():
    async with handled_signals():
        pass
    os.kill(os.getpid(), int(sys.argv[1]))
with asyncio.Runner(loop_factory=new_event_loop) as runner:
    runner.run(end())
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "campaign-exporter.yml"
    path.write_text(CONFIGURATION)
    return path


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_before_the_start_ends_the_process(number: signal.Signals) -> None:
    async with running(sys.executable, "-c", HELD + WAIT) as process:
        await process.logged("held")
        process.signal(number)
        assert await process.ended() == 0
        assert "Traceback" not in process.log


@pytest.mark.parametrize(("command", "status"), [("check", 130), ("discover", 130), ("serve", 0), ("demo", 0)])
async def test_an_interrupt_during_imports_leaves_no_traceback(command: str, status: int) -> None:
    assert await output_of(sys.executable, "-c", INTERRUPTED, command) == (status, "", "")


@pytest.mark.parametrize("words", ["check", "discover", "--log.level=debug check"])
async def test_an_interrupt_ends_a_command_that_was_started_to_ignore_it(words: str, tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def never(writer: asyncio.StreamWriter) -> None:
        asked.set()
        await asyncio.Event().wait()

    async with loopback.serving(never) as server:
        file = tmp_path / "campaign-exporter.yml"
        file.write_text(
            f"accounts: [{{name: acme, provider: anyreach, token: ak_x, base_url: '{server.url}', discovery: {{}}}}]"
        )
        # As a script does for what it starts in the background
        ignoring = f"trap '' INT; exec '{sys.executable}' -m exporter {words} --config.file '{file}'"
        async with running("sh", "-c", ignoring) as process, asyncio.timeout(PATIENCE):
            await asked.wait()
            process.signal(signal.SIGINT)

            assert await process.ended() == 130
    assert process.log == ""


async def test_a_hangup_before_the_start_is_a_reload_after_it(file: Path) -> None:
    # The process sends it to itself, so that it comes before anything is imported.
    hangup = "import os, signal; os.kill(os.getpid(), signal.SIGHUP);"
    flags = ("--config.file", file, "--web.listen-address", "127.0.0.1:0")
    async with running(sys.executable, "-c", HELD + hangup + RUN, *flags) as process:
        await process.logged("configuration reloaded")
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
async def test_a_signal_in_the_last_moments_does_not_kill_the_process(number: signal.Signals) -> None:
    assert await output_of(sys.executable, "-c", f"{HELD}\n{LAST_MOMENT}", str(int(number))) == (0, "", "held\n")


async def test_the_end_is_logged_with_what_was_waited_for(file: Path) -> None:
    async with exporter("--config.file", file) as (process, _):
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0
    assert "msg=stopping signal=SIGTERM" in process.log
    assert "msg=stopped seconds_for_polls=" in process.log
