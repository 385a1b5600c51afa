"""The loop with virtual time, as the tests of the poller rely on it."""

import asyncio
import socket
import threading
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from aiohttp import ClientSession, ClientTimeout, web

from tests.virtual_time import NothingCanHappenError, VirtualTimeLoop

T = TypeVar("T")

HOUR = 3600.0


def run(coroutine: Coroutine[Any, Any, T], loop: type[VirtualTimeLoop] = VirtualTimeLoop) -> T:
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(coroutine)


class Impatient(VirtualTimeLoop):
    PATIENCE = 0.05


def clock() -> float:
    return asyncio.get_running_loop().time()


def test_an_hour_takes_no_time_and_is_an_hour_to_the_last_bit() -> None:
    async def main() -> float:
        start = clock()
        await asyncio.sleep(HOUR)
        return clock() - start

    began = time.monotonic()

    assert run(main()) == HOUR
    assert time.monotonic() - began < 5


def test_the_clock_stands_still_between_timers() -> None:
    async def main() -> set[float]:
        shown = set()
        for _ in range(100):
            shown.add(clock())
            await asyncio.sleep(0)
        return shown

    assert run(main()) == {VirtualTimeLoop.START}


def test_timers_come_in_their_order_at_their_moments() -> None:
    async def main() -> list[tuple[str, float]]:
        start = clock()
        seen: list[tuple[str, float]] = []

        async def ticker(name: str, interval: float) -> None:
            while True:
                await asyncio.sleep(interval)
                seen.append((name, clock() - start))

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ticker("slow", 25.0)), group.create_task(ticker("quick", 10.0))]
            await asyncio.sleep(55.0)
            for task in tasks:
                task.cancel()
        return seen

    assert run(main()) == [
        ("quick", 10.0),
        ("quick", 20.0),
        ("slow", 25.0),
        ("quick", 30.0),
        ("quick", 40.0),
        ("slow", 50.0),
        ("quick", 50.0),
    ]


def test_a_timer_beyond_a_day_is_reached() -> None:
    async def main() -> float:
        start = clock()
        await asyncio.sleep(8 * 86400.5)
        return clock() - start

    assert run(main()) == 8 * 86400.5


def test_a_cancelled_timer_does_not_move_the_clock() -> None:
    async def main() -> float:
        asyncio.get_running_loop().call_later(HOUR, lambda: None).cancel()
        await asyncio.sleep(1)
        return clock() - VirtualTimeLoop.START

    assert run(main()) == 1


def test_a_client_and_a_server_talk_over_real_sockets_in_virtual_time() -> None:
    async def main() -> list[tuple[str, float]]:
        async def slow(request: web.Request) -> web.Response:
            await asyncio.sleep(float(request.query["seconds"]))
            return web.Response(text="x" * 2_000_000)

        app = web.Application()
        app.router.add_get("/", slow)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0]
        seen = []
        try:
            async with ClientSession(timeout=ClientTimeout(total=60)) as session:
                for seconds in (0, 7, 59, 61, 3):
                    start = clock()
                    try:
                        async with session.get(f"http://{host}:{port}/?seconds={seconds}") as response:
                            body = await response.text()
                            seen.append((str(len(body)), clock() - start))
                    except TimeoutError:
                        seen.append(("timeout", clock() - start))
                    # Longer than either side keeps an idle connection.
                    await asyncio.sleep(2 * HOUR)
        finally:
            await runner.cleanup()
        return seen

    assert run(main()) == [
        ("2000000", 0.0),
        ("2000000", 7.0),
        ("2000000", 59.0),
        ("timeout", 60.0),
        ("2000000", 3.0),
    ]


def test_a_job_in_a_thread_is_waited_for_while_the_clock_stands_still() -> None:
    async def main() -> tuple[str, float]:
        release = threading.Event()

        def job() -> str:
            release.wait(5)
            return "done"

        def let_go() -> None:
            # A thread that the loop does not know; real time passes before it acts.
            time.sleep(0.05)
            release.set()

        threading.Thread(target=let_go).start()
        async with asyncio.timeout(HOUR):
            return await asyncio.to_thread(job), clock() - VirtualTimeLoop.START

    assert run(main()) == ("done", 0.0)


def test_the_clock_goes_on_after_a_job_in_a_thread() -> None:
    async def main() -> float:
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 / 0)
        await asyncio.sleep(HOUR)
        return clock() - VirtualTimeLoop.START

    assert run(main()) == HOUR


def test_a_wait_that_nothing_can_end_is_an_error_that_says_where() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(NothingCanHappenError, match=r"no timer, no socket and no thread .*test_virtual_time\.py:\d+"):
        run(main())


def test_a_socket_that_stays_silent_is_an_error_in_the_end() -> None:
    async def main() -> None:
        here, there = socket.socketpair()
        with here, there:
            here.setblocking(False)
            await asyncio.get_running_loop().sock_recv(here, 1)

    with pytest.raises(NothingCanHappenError, match=r"from a socket or a thread in 0\.05 s"):
        run(main(), Impatient)


def test_a_thread_that_never_ends_is_an_error_in_the_end() -> None:
    release = threading.Event()

    async def main() -> None:
        await asyncio.gather(asyncio.to_thread(release.wait, 30), asyncio.sleep(HOUR))

    with asyncio.Runner(loop_factory=Impatient) as runner:
        try:
            with pytest.raises(NothingCanHappenError, match=r"from a socket or a thread in 0\.05 s"):
                runner.run(main())
        finally:
            release.set()


def test_a_timer_that_recurs_for_ever_is_an_error_in_the_end() -> None:
    async def main() -> None:
        def tick() -> None:
            asyncio.get_running_loop().call_later(6 * HOUR, tick)

        tick()
        await asyncio.Event().wait()

    with pytest.raises(NothingCanHappenError, match="8640000 seconds have passed"):
        run(main())
