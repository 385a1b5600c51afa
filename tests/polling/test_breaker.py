"""When credentials count as refused, and when they are accepted again."""

import pytest

from exporter.polling.breaker import STATS, Breaker
from exporter.providers.errors import ForbiddenError, NotFoundError, PollError, ServerFaultError, UnauthorizedError


class Told:
    """A breaker, and what it has told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.breaker = Breaker(lambda: self.told.append("opened"), lambda why: self.told.append("closed"))

    def fail(self, error: type[PollError], route: str = STATS, campaign: str = "june", at: float = 10.0) -> None:
        self.breaker.failed(route, error("no"), at - 1, at, campaign)


@pytest.mark.parametrize("route", [STATS, "listing", "campaign", "configuration"])
def test_a_401_opens_it_on_any_route(route: str) -> None:
    told = Told()
    told.fail(UnauthorizedError, route)

    assert told.told == ["opened"]
    assert isinstance(told.breaker.error, UnauthorizedError)


def test_a_second_refusal_opens_nothing_more() -> None:
    told = Told()
    told.fail(UnauthorizedError)
    told.fail(UnauthorizedError, "listing")

    assert told.told == ["opened"]
    assert told.breaker.route == STATS


def test_a_403_from_two_campaigns_opens_it() -> None:
    told = Told()
    told.fail(ForbiddenError, campaign="june")
    told.fail(ForbiddenError, campaign="june")
    assert not told.breaker.is_open
    told.fail(ForbiddenError, campaign="july")

    assert told.breaker.is_open


def test_a_success_between_two_403_keeps_it_closed() -> None:
    told = Told()
    told.fail(ForbiddenError, campaign="june")
    told.breaker.succeeded(STATS, 10)
    told.fail(ForbiddenError, campaign="july")

    assert not told.breaker.is_open


def test_a_success_on_another_route_is_none_between_two_403() -> None:
    told = Told()
    told.fail(ForbiddenError, campaign="june")
    told.breaker.succeeded("listing", 10)
    told.fail(ForbiddenError, campaign="july")

    assert told.breaker.is_open


@pytest.mark.parametrize("route", ["listing", "campaign", "configuration"])
def test_a_403_on_another_route_than_stats_never_opens_it(route: str) -> None:
    told = Told()
    for campaign in ("june", "july", "august"):
        told.fail(ForbiddenError, route, campaign)

    assert not told.breaker.is_open


@pytest.mark.parametrize("error", [NotFoundError, ServerFaultError])
def test_other_failures_never_open_it(error: type[PollError]) -> None:
    told = Told()
    for campaign in ("june", "july", "august"):
        told.fail(error, campaign=campaign)

    assert not told.breaker.is_open


@pytest.mark.parametrize("refused", [STATS, "listing"])
@pytest.mark.parametrize("route", [STATS, "listing", "campaign", "configuration"])
@pytest.mark.parametrize("sent", [9.0, 10.0, 11.0])
def test_only_a_later_success_on_the_refused_route_closes_it(refused: str, route: str, sent: float) -> None:
    told = Told()
    told.fail(UnauthorizedError, refused)
    told.breaker.succeeded(route, sent)

    assert told.breaker.is_open == (route != refused or sent <= 10)


def test_a_changed_token_closes_it() -> None:
    told = Told()
    told.fail(UnauthorizedError)
    told.breaker.token_changed(20)

    assert told.told == ["opened", "closed"]


@pytest.mark.parametrize("error", [UnauthorizedError, ForbiddenError])
def test_an_answer_to_the_old_token_says_nothing_of_the_new_one(error: type[PollError]) -> None:
    told = Told()
    told.breaker.token_changed(20)
    for campaign in ("june", "july"):
        told.fail(error, campaign=campaign, at=20.5)

    assert not told.breaker.is_open


@pytest.mark.parametrize("error", [ForbiddenError, NotFoundError])
def test_a_refused_feature_does_not_keep_the_account_shut(error: type[PollError]) -> None:
    told = Told()
    told.fail(UnauthorizedError, "listing")
    told.fail(error, "listing", at=70)

    assert not told.breaker.is_open


def test_without_any_campaign_left_refused_stats_are_forgotten() -> None:
    told = Told()
    told.fail(UnauthorizedError)
    told.breaker.campaign_removed("june", 1)
    assert told.breaker.is_open
    told.breaker.campaign_removed("july", 0)

    assert not told.breaker.is_open
