"""Answers about another campaign than the one that was asked for, from a real server."""

import json
from collections.abc import Iterator

import pytest

from exporter.campaign.snapshot import Snapshot
from exporter.providers.anyreach import Anyreach
from exporter.providers.errors import InvalidResponseError
from exporter.providers.osvi import Osvi
from tests.providers.loopback import http, serving, transport

ONE, TWO, THREE = (f"6c6f7b0e-0000-4000-8000-00000000000{n}" for n in (1, 2, 3))


def stats(named: object) -> bytes:
    return http(json.dumps({"status": "active", "campaign_id": named}))


def status(named: object) -> bytes:
    return http(json.dumps({"success": True, "data": {"campaign": {"status": "active", "id": named}}}))


def outcome(snapshot: Snapshot | None) -> str:
    return "success" if snapshot is not None else "wrong"


async def outcomes(asked: list[str], answers: Iterator[bytes], provider: type[Anyreach] | type[Osvi]) -> list[str]:
    """Ask for one campaign after the other; says for each whether its answer was believed."""
    found = []
    async with serving(*answers) as server, transport(server.url) as sender:
        asking = provider(sender, "token")
        for campaign_id in asked:
            try:
                await asking.poll(campaign_id)
            except InvalidResponseError:
                found.append("wrong")
            else:
                found.append("right")
    return found


@pytest.mark.parametrize(
    ("asked", "named", "expected"),
    [
        ([ONE, TWO, THREE, ONE], [ONE, TWO, TWO, ONE], "right right wrong right"),
        ([ONE, TWO, TWO, TWO], [ONE, ONE, ONE, TWO], "right wrong wrong right"),
        ([ONE, ONE], [ONE.upper(), ONE.replace("-", "")], "right right"),
        (["a", "b", "a", "a"], ["a", "b", "b", "a"], "right right wrong right"),
        (["a", "b"], ["a", "a"], "right wrong"),
        (["a", "a", "b", "b"], [ONE, ONE, TWO, TWO], "right right right right"),
        (["a", "b", "a", "a"], [ONE, TWO, TWO, ONE], "right right wrong right"),
        (["a", "b", "a", "b"], ["...", "...", "...", "..."], "right right right right"),
        ([ONE, TWO, ONE], [None, 5, ""], "right right right"),
    ],
    ids=[
        *("another one", "another one at first", "another spelling", "external ids echoed", "echoed at first"),
        *("external ids", "external ids mixed up", "the same text for all", "no text"),
    ],
)
async def test_an_answer_about_another_campaign_of_the_account_is_refused(
    asked: list[str], named: list[object], expected: str
) -> None:
    assert await outcomes(asked, map(stats, named), Anyreach) == expected.split()


@pytest.mark.parametrize(
    ("provider", "own", "answer"), [(Anyreach, ONE, stats(TWO)), (Osvi, "7", status(8))], ids=["anyreach", "osvi"]
)
async def test_the_first_answer_of_all_is_refused_where_it_names_another_polled_campaign(
    provider: type[Anyreach] | type[Osvi], own: str, answer: bytes
) -> None:
    async with serving(answer) as server, transport(server.url) as sender:
        with pytest.raises(InvalidResponseError):
            await provider(sender, "token", polled=lambda: {ONE, TWO, "7", "8"}).poll(own)


@pytest.mark.parametrize("known", [True, False])
async def test_another_campaign_under_an_external_id_is_believed_the_second_time(known: bool) -> None:
    named = [ONE, TWO, TWO, TWO] if known else [ONE, THREE, TWO, TWO]

    expected = ["right", "wrong", "right", "right"] if known else ["right", "wrong", "wrong", "right"]
    assert await outcomes(["a"] * 4, map(stats, named), Anyreach) == expected


async def test_an_external_id_may_name_a_campaign_that_is_polled_by_its_own() -> None:
    async with serving(stats(ONE)) as server, transport(server.url) as sender:
        anyreach = Anyreach(sender, "token")
        snapshots = [await anyreach.poll(campaign_id) for campaign_id in (ONE, "a")]

    # Whoever polls both learns from this that they are one.
    assert [snapshot.campaign_id for snapshot in snapshots] == [ONE, ONE]


@pytest.mark.parametrize("named", [8, "8", 8.0])
async def test_an_osvi_answer_about_another_campaign_is_refused(named: object) -> None:
    answers = map(status, [7, 8, named, "7", 7.0])

    assert await outcomes(["7", "8", "7", "7", "7"], answers, Osvi) == ["right", "right", "wrong", "right", "right"]


async def test_an_answer_about_another_campaign_ends_the_use_of_connections() -> None:
    async with serving(*map(stats, [ONE, TWO, ONE, TWO])) as server, transport(server.url) as sender:
        anyreach = Anyreach(sender, "token")
        await anyreach.poll(ONE)
        await anyreach.poll(TWO)
        assert server.connections == 1
        with pytest.raises(InvalidResponseError):
            await anyreach.poll(TWO)
        await anyreach.poll(TWO)

    assert server.connections == 2


async def test_what_names_no_campaign_of_the_provider_is_no_id_of_it() -> None:
    async with serving(stats("...")) as server, transport(server.url) as sender:
        assert (await Anyreach(sender, "token").poll("a")).campaign_id is None
