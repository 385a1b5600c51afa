"""Real programs in tests: started, asked over HTTP, and stopped again."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

import aiohttp

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds in which what has to happen must have happened; no test takes it unless it fails."""


class Process:
    """A program under test; what it writes to standard error is kept."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.log = ""
        self._more = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            self.log += line.decode(errors="replace")
            self._more.set()
        self._more.set()

    async def logged(self, pattern: str, *, after: int = 0) -> re.Match[str]:
        """Wait until a line that matches has been written, past this many characters."""
        async with asyncio.timeout(PATIENCE):
            while (match := re.compile(pattern).search(self.log, after)) is None:
                if self._reader.done():
                    raise AssertionError(f"it ended without writing {pattern!r}:\n{self.log}")
                self._more.clear()
                await self._more.wait()
        return match

    @property
    def pid(self) -> int:
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait for its end; returns its exit status."""
        async with asyncio.timeout(PATIENCE):
            await self._reader
            return await self._process.wait()

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._reader
        await self._process.wait()


class Ended(NamedTuple):
    """A program that has ended."""

    status: int
    output: str
    errors: str


async def output_of(*command: str | Path, environ: Mapping[str, str] | None = None) -> Ended:
    """Run a program to its end."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **(environ or {})},
    )
    async with asyncio.timeout(PATIENCE):
        output, errors = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, output.decode(), errors.decode())


@contextlib.asynccontextmanager
async def running(
    *command: str | Path, environ: Mapping[str, str] | None = None, directory: Path | None = None
) -> AsyncIterator[Process]:
    """Run a program until the block is left; it is killed if it has not ended by then."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **(environ or {})},
        cwd=directory,
        limit=2**20,
    )
    watched = Process(process)
    try:
        yield watched
    finally:
        await watched.kill()


@contextlib.asynccontextmanager
async def exporter(
    *arguments: str | Path, environ: Mapping[str, str] | None = None, directory: Path | None = None
) -> AsyncIterator[tuple[Process, str]]:
    """Run the exporter on a free port; yields it and its address, once it answers."""
    command = (sys.executable, "-m", "exporter", *arguments, "--web.listen-address", "127.0.0.1:0")
    async with running(*command, environ=environ, directory=directory) as process:
        address = (await process.logged(r"msg=listening address=(http\S+)"))[1]
        yield process, address


@contextlib.asynccontextmanager
async def prometheus(directory: Path, configuration: str, *flags: str) -> AsyncIterator[str]:
    """Run a real Prometheus with this configuration on a free port; yields its address."""
    file = directory / "prometheus.yml"
    file.write_text(configuration, encoding="utf-8")
    command = (
        "prometheus",
        f"--config.file={file}",
        f"--storage.tsdb.path={directory / 'data'}",
        "--web.listen-address=127.0.0.1:0",
        *flags,
    )
    async with running(*command) as process:
        port = (await process.logged(r"msg=\"?Listening on\"?.* address=127\.0\.0\.1:(\d+)"))[1]
        address = f"http://127.0.0.1:{port}"
        await until(lambda: answers(f"{address}/-/ready"))
        yield address


@contextlib.asynccontextmanager
async def alertmanager(
    directory: Path, configuration: str, *, environ: Mapping[str, str] | None = None
) -> AsyncIterator[str]:
    """
    Run a real Alertmanager with this configuration, by itself and on a free port; yields its address.

    It runs in another directory than its files, as under systemd: a relative path of a secret leads nowhere.
    """
    file = directory / "alertmanager.yml"
    file.write_text(configuration, encoding="utf-8")
    command = (
        shutil.which("prometheus-alertmanager") or "alertmanager",  # the first is Debian's name for it
        f"--config.file={file}",
        f"--storage.path={directory / 'alertmanager'}",
        "--web.listen-address=127.0.0.1:0",
        "--cluster.listen-address=",
    )
    async with running(*command, environ=environ, directory=Path("/")) as process:
        port = (await process.logged(r"msg=\"?Listening on\"?.* address=127\.0\.0\.1:(\d+)"))[1]
        address = f"http://127.0.0.1:{port}"
        await until(lambda: answers(f"{address}/-/ready"))
        yield address


async def answers(url: str) -> bool:
    """Say whether a GET is answered with 200."""
    async with aiohttp.ClientSession() as session:
        with contextlib.suppress(aiohttp.ClientError):
            async with session.get(url) as response:
                return response.status == 200
    return False


async def text(url: str) -> str:
    """GET a page that has to be there."""
    async with aiohttp.ClientSession(raise_for_status=True) as session, session.get(url) as response:
        return await response.text()


async def query(prometheus: str, promql: str) -> list[dict[str, object]]:
    """Ask a Prometheus for an instant vector."""
    url = f"{prometheus}/api/v1/query"
    async with (
        aiohttp.ClientSession(raise_for_status=True) as session,
        session.get(url, params={"query": promql}) as response,
    ):
        result: list[dict[str, object]] = (await response.json())["data"]["result"]
        return result


async def until(condition: Callable[[], Awaitable[T]], *, patience: float = PATIENCE) -> T:
    """Ask again and again until the answer is true; for what happens in another process, which nothing can await."""
    async with asyncio.timeout(patience):
        while not (result := await condition()):  # noqa: ASYNC110 -- another process sends no event
            await asyncio.sleep(0.05)
    return result
