"""Requests that are no polls: within the budget, and only while the credentials are accepted."""

import asyncio

import pytest

from exporter.polling.breaker import Breaker
from exporter.polling.requests import Requests
from exporter.polling.throttle import Share, Slots, Throttle
from exporter.providers.errors import InternalError, RateLimitedError, UnauthorizedError

pytestmark = pytest.mark.virtual_time


class Sent:
    """An account's requests, and what has come of them."""

    def __init__(self) -> None:
        self.throttle = Throttle(20, 4, Slots(10))
        self.breaker = Breaker()
        self.holds: list[float] = []
        self.requests = Requests(self.throttle, Share(self.throttle, 0.25), self.breaker, self.holds.append)
        self.answers: list[Exception | str] = []
        self.moments: list[float] = []

    async def request(self) -> str:
        self.moments.append(asyncio.get_running_loop().time())
        answer = self.answers.pop(0) if self.answers else "good"
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_a_request_that_is_given_up_before_its_turn_was_never_begun() -> None:
    sent = Sent()
    sent.throttle.hold(asyncio.get_running_loop().time() + 3600)
    waiting = asyncio.create_task(sent.requests.ask("listing", sent.request))
    await asyncio.sleep(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert sent.moments == []
    assert sent.throttle.in_flight == 0


async def test_a_defect_in_reading_an_answer_is_logged_and_fails_the_request(caplog: pytest.LogCaptureFixture) -> None:
    sent = Sent()
    sent.answers = [KeyError("unheard-of")]
    with pytest.raises(InternalError):
        await sent.requests.ask("listing", sent.request)

    assert "KeyError" in caplog.text


async def test_a_retry_after_holds_the_account_for_ten_minutes_at_most() -> None:
    sent = Sent()
    sent.answers = [RateLimitedError("slow down", retry_after=1e9)]
    with pytest.raises(RateLimitedError):
        await sent.requests.ask("listing", sent.request)
    await sent.requests.ask("listing", sent.request)

    assert sent.holds == [600]
    assert sent.moments[1] - sent.moments[0] == pytest.approx(600)


async def test_nothing_is_sent_while_the_credentials_are_refused() -> None:
    sent = Sent()
    sent.answers = [UnauthorizedError("no")]
    for _ in range(3):
        with pytest.raises(UnauthorizedError):
            await sent.requests.ask("listing", sent.request)

    assert len(sent.moments) == 1


async def test_a_request_that_waits_when_they_are_refused_is_not_sent() -> None:
    sent = Sent()
    sent.answers = [UnauthorizedError("no")]
    results = await asyncio.gather(
        *(sent.requests.ask("listing", sent.request) for _ in range(3)), return_exceptions=True
    )

    assert [type(result) for result in results] == [UnauthorizedError] * 3
    assert len(sent.moments) == 1


async def test_the_refused_request_is_sent_again_as_a_probe() -> None:
    sent = Sent()
    sent.answers = [UnauthorizedError("no"), UnauthorizedError("still not")]
    with pytest.raises(UnauthorizedError):
        await sent.requests.ask("listing", sent.request)
    await sent.requests.ask_again()
    assert sent.breaker.is_open
    await sent.requests.ask_again()
    assert not sent.breaker.is_open

    assert len(sent.moments) == 3
