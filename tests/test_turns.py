"""Long work gives way to others, and only when its turn is over."""

import asyncio

import pytest

from exporter.turns import Turns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that `turns` sees, in its only element."""
    seconds = [0.0]
    monkeypatch.setattr("exporter.turns.time.perf_counter", lambda: seconds[0])
    return seconds


async def test_others_run_only_when_a_turn_is_over(clock: list[float]) -> None:
    others: list[str] = []
    asyncio.get_running_loop().call_soon(others.append, "ran")
    work = Turns(0.001)

    clock[0] = 0.0009
    await work.give_way()
    assert others == []
    clock[0] = 0.001
    await work.give_way()
    assert others == ["ran"]


async def test_the_next_turn_begins_when_others_have_run(clock: list[float]) -> None:
    loop = asyncio.get_running_loop()
    work = Turns(0.001)
    loop.call_soon(clock.__setitem__, 0, 5.0)
    clock[0] = 0.002
    await work.give_way()

    others: list[str] = []
    loop.call_soon(others.append, "ran")
    clock[0] = 5.0009
    await work.give_way()
    assert others == []
