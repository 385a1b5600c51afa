"""A request has its time and no more, whatever the others do, and only its own task hears of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from exporter.providers.timelimit import TimeLimit

pytestmark = pytest.mark.virtual_time

SECONDS = 10.0


class RunOutError(Exception):
    """What a request makes of its end."""


@pytest.fixture
async def limit() -> AsyncIterator[TimeLimit]:
    made = TimeLimit(SECONDS)
    yield made
    made.close()


async def request(limit: TimeLimit, seconds: float) -> float:
    """Wait for an answer under the limit; returns the time that it took."""
    clock = asyncio.get_running_loop().time
    began = clock()
    task = limit.begin()
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        if limit.has_run_out(task):
            raise RunOutError(clock() - began) from None
        raise
    finally:
        limit.end(task)
    return clock() - began


def seconds_until(error: pytest.ExceptionInfo[RunOutError]) -> float:
    found = error.value.args[0]
    assert isinstance(found, float)
    return found


async def test_a_request_within_its_time_is_left_alone(limit: TimeLimit) -> None:
    assert await request(limit, 9.9) == pytest.approx(9.9)


async def test_a_request_runs_out_no_sooner_than_its_time_and_no_later_than_a_timer_can_tell(limit: TimeLimit) -> None:
    with pytest.raises(RunOutError) as error:
        await request(limit, 60)
    assert SECONDS <= seconds_until(error) <= SECONDS + 0.002


async def test_each_of_many_requests_has_its_own_time(limit: TimeLimit) -> None:
    async def later(place: int) -> float:
        await asyncio.sleep(place * 0.7)
        return await request(limit, 60 if place % 3 == 0 else 3)

    results = await asyncio.gather(*map(later, range(40)), return_exceptions=True)
    for place, result in enumerate(results):
        if place % 3 == 0:
            assert isinstance(result, RunOutError)
            assert SECONDS <= result.args[0] <= SECONDS + 0.002
        else:
            assert result == pytest.approx(3)


async def test_one_task_has_the_full_time_for_each_of_its_requests(limit: TimeLimit) -> None:
    for _ in range(5):
        assert await request(limit, 6) == pytest.approx(6)
        await asyncio.sleep(1)
    with pytest.raises(RunOutError) as error:
        await request(limit, 60)
    assert seconds_until(error) == pytest.approx(SECONDS, abs=0.002)
    assert await request(limit, 9) == pytest.approx(9)


async def test_a_task_whose_request_has_run_out_is_not_taken_for_cancelled(limit: TimeLimit) -> None:
    task = asyncio.current_task()
    assert task is not None
    with pytest.raises(RunOutError):
        await request(limit, 60)
    assert task.cancelling() == 0
    async with asyncio.timeout(60):
        await asyncio.sleep(30)


async def test_a_task_that_is_cancelled_by_somebody_else_hears_so(limit: TimeLimit) -> None:
    task = asyncio.create_task(request(limit, 60))
    await asyncio.sleep(5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelling() == 1


async def test_a_task_that_somebody_cancels_in_the_moment_in_which_its_time_runs_out_ends(limit: TimeLimit) -> None:
    task = asyncio.create_task(request(limit, 60))
    await asyncio.sleep(0)
    # After the limit's own timer, and before the task has its turn.
    asyncio.get_running_loop().call_at(asyncio.get_running_loop().time() + SECONDS + 0.001, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert task.cancelling() == 1


async def test_an_outer_timeout_that_is_shorter_is_told_from_its_own(limit: TimeLimit) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(4):
            await request(limit, 60)


async def test_a_request_that_fails_as_its_time_runs_out_leaves_its_task_unharmed(limit: TimeLimit) -> None:
    task = limit.begin()
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        # What a library makes of it is no business of the limit's.
        pass
    finally:
        limit.end(task)
    assert task.cancelling() == 0


async def test_a_request_that_does_not_hear_it_is_told_again(limit: TimeLimit) -> None:
    task = limit.begin()
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(60)
        assert limit.has_run_out(task)
        assert asyncio.get_running_loop().time() == pytest.approx(1000 + 2 * SECONDS, abs=0.01)
    finally:
        limit.end(task)
    assert task.cancelling() == 0


async def test_it_keeps_one_timer_however_many_requests_there_are(limit: TimeLimit) -> None:
    loop = asyncio.get_running_loop()
    armed: list[float] = []
    call_at = loop.call_at

    def counted(when: float, *args: object, **kwargs: object) -> asyncio.TimerHandle:
        armed.append(when)
        return call_at(when, *args, **kwargs)  # type: ignore[arg-type]  # passed on as it comes

    loop.call_at = counted  # type: ignore[method-assign]  # the loop is this test's own
    for _ in range(10):
        task = limit.begin()
        limit.end(task)
    assert len(armed) == 1
