"""Passwords: what is right, what a failure costs, and who has to wait for whom."""

import asyncio
import base64
import threading
from collections.abc import Callable

import bcrypt
import pytest

from exporter.web.auth import CrowdedError, Gate, Users, cost_of
from tests.process import PATIENCE


def hashed(password: str, cost: int = 4) -> bytes:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost))


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


ALICE = hashed("correct")
USERS = Users({b"alice": ALICE})


class Checks:
    """Stands in for bcrypt: writes down what it is asked, and answers when the test wants it to."""

    def __init__(self, *, hold: bool = False) -> None:
        self.asked: list[tuple[bytes, bytes]] = []
        self._go = threading.Semaphore(0 if hold else 1_000_000)
        self._began: asyncio.Queue[bytes] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    def __call__(self, password: bytes, stored: bytes) -> bool:
        self.asked.append((password, stored))
        self._loop.call_soon_threadsafe(self._began.put_nowait, password)
        assert self._go.acquire(timeout=PATIENCE)
        return password == b"correct" and stored == ALICE

    async def next(self) -> str:
        """The password that is being checked; lets the check end."""
        async with asyncio.timeout(PATIENCE):
            password = await self._began.get()
        self._go.release()
        return password.decode()

    async def order(self, count: int) -> list[str]:
        return [await self.next() for _ in range(count)]


async def settled() -> None:
    """Let every task that has something to do get as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize("mark", ["2a", "2b", "2y"])
async def test_every_usual_spelling_of_a_hash_is_checked(mark: str) -> None:
    users = Users({b"alice": ALICE.replace(b"$2b$", f"${mark}$".encode())})

    assert await Gate().admits(users, basic("alice", "correct"), "192.0.2.1")
    assert not await Gate().admits(users, basic("alice", "wrong"), "192.0.2.1")
    assert not await Gate().admits(users, basic("bob", "correct"), "192.0.2.1")


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"correct",
        b"$2b$04$short",
        ALICE + b"x",
        ALICE.replace(b"$2b$", b"$2x$"),
        ALICE.replace(b"$04$", b"$03$"),
        ALICE.replace(b"$04$", b"$17$"),
    ],
    ids=["nothing", "a password", "cut off", "too long", "another algorithm", "too cheap", "too dear"],
)
def test_what_cannot_be_checked_has_no_cost(stored: bytes) -> None:
    assert cost_of(stored) is None


def test_the_cost_of_a_hash_stands_in_it() -> None:
    assert cost_of(ALICE.replace(b"$04$", b"$16$")) == 16


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic \u00e9",
        "Bearer " + basic("alice", "correct").split()[1],
        "Basic " + base64.b64encode(b"alice").decode(),
    ],
)
async def test_what_is_no_name_and_password_costs_nothing(header: str) -> None:
    checks = Checks()

    assert not await Gate(checks).admits(USERS, header, "192.0.2.1")
    assert checks.asked == []


async def test_a_password_may_hold_anything_and_its_scheme_be_written_in_any_case() -> None:
    users = Users({"zoë".encode(): hashed("pass:wörd ")})

    header = basic("zoë", "pass:wörd ").replace("Basic", "bASIC")

    assert await Gate().admits(users, header, "192.0.2.1")


async def test_what_bcrypt_does_not_look_at_is_cut_off_as_other_programs_cut_it_off() -> None:
    users = Users({b"alice": hashed("x" * 72)})

    assert await Gate().admits(users, basic("alice", "x" * 100), "192.0.2.1")
    assert not await Gate().admits(users, basic("alice", "x" * 71), "192.0.2.1")


async def test_a_right_password_is_checked_once() -> None:
    checks = Checks()
    gate = Gate(checks)

    assert [await gate.admits(USERS, basic("alice", "correct"), "192.0.2.1") for _ in range(3)] == [True] * 3

    assert checks.asked == [(b"correct", ALICE)]


async def test_a_right_password_that_waits_behind_itself_is_checked_once() -> None:
    checks = Checks(hold=True)
    gate = Gate(checks)
    asking = [asyncio.create_task(gate.admits(USERS, basic("alice", "correct"), "192.0.2.1")) for _ in range(3)]

    await checks.next()

    assert await asyncio.gather(*asking) == [True] * 3
    assert len(checks.asked) == 1


async def test_a_wrong_password_is_never_remembered() -> None:
    checks = Checks()
    gate = Gate(checks)

    assert [await gate.admits(USERS, basic("alice", "wrong"), "192.0.2.1") for _ in range(3)] == [False] * 3

    assert len(checks.asked) == 3


async def test_another_hash_makes_a_remembered_password_worthless() -> None:
    gate = Gate()
    assert await gate.admits(USERS, basic("alice", "correct"), "192.0.2.1")

    assert not await gate.admits(Users({b"alice": hashed("other")}), basic("alice", "correct"), "192.0.2.1")
    assert not await gate.admits(Users({b"bob": ALICE}), basic("alice", "correct"), "192.0.2.1")


async def test_no_password_stays_in_memory_and_no_more_than_some_digests_do() -> None:
    gate = Gate()
    users = Users({b"alice": hashed("x" * 72)})

    for number in range(300):
        # Each is right, and another one.
        assert await gate.admits(users, basic("alice", "x" * 72 + str(number)), "192.0.2.1")

    remembered = gate._right
    assert len(remembered) == 256
    assert all(len(digest) == 64 and b"xxx" not in digest for digest in remembered)
    assert gate._digest(b"ab", b"c", b"d") != gate._digest(b"a", b"bc", b"d")


@pytest.mark.parametrize("name", ["cheap", "dear", "nobody"])
async def test_a_failure_costs_the_same_for_every_name(name: str) -> None:
    users = Users({b"cheap": hashed("a", 4), b"dear": hashed("b", 7)})
    checks = Checks()

    assert not await Gate(checks).admits(users, basic(name, "wrong"), "192.0.2.1")

    assert sum(2 ** (cost_of(stored) or 0) for _, stored in checks.asked) == 2**7


async def test_nobodys_hash_fits_no_password_and_is_computed_in_full() -> None:
    asked = []

    def check(password: bytes, stored: bytes) -> bool:
        asked.append(stored)
        return bcrypt.checkpw(password, stored)

    assert not await Gate(check).admits(USERS, basic("nobody", "correct"), "192.0.2.1")
    (stored,) = asked
    assert bcrypt.hashpw(b"correct", stored)[:29] == stored[:29]


async def test_one_hash_is_computed_at_a_time_and_off_the_event_loop() -> None:
    checks = Checks(hold=True)
    gate = Gate(checks)
    asking = [asyncio.create_task(gate.admits(USERS, basic("alice", f"{n}"), "192.0.2.1")) for n in range(5)]
    await settled()

    async with asyncio.timeout(PATIENCE):
        while not checks.asked:  # noqa: ASYNC110 -- the loop's turns are what is tested: it must go on having them
            await asyncio.sleep(0)
    await settled()
    assert len(checks.asked) == 1

    await checks.order(5)
    assert await asyncio.gather(*asking) == [False] * 5


async def test_a_real_hash_lets_other_threads_go_on() -> None:
    users = Users({b"alice": hashed("correct", 12)})
    asking = asyncio.create_task(Gate().admits(users, basic("alice", "wrong"), "192.0.2.1"))

    turns = 0
    while not asking.done():
        await asyncio.sleep(0.001)
        turns += 1

    assert turns > 20


class TestOrder:
    @pytest.fixture
    async def checks(self) -> Checks:
        return Checks(hold=True)

    @pytest.fixture
    async def ask(self, checks: Checks) -> Callable[[str, str | None], "asyncio.Task[bool]"]:
        gate = Gate(checks)
        return lambda password, client: asyncio.create_task(gate.admits(USERS, basic("alice", password), client))

    async def test_clients_take_turns_however_many_requests_one_of_them_has(
        self, checks: Checks, ask: Callable[[str, str | None], "asyncio.Task[bool]"]
    ) -> None:
        asking = [ask("first", "192.0.2.1")]
        await settled()
        asking += [ask(f"flood-{n}", "192.0.2.1") for n in range(4)]
        await settled()
        asking += [ask("calm-1", "192.0.2.2"), ask("calm-0", "192.0.2.2"), ask("other", "198.51.100.1")]
        await settled()

        assert await checks.order(6) == ["first", "flood-3", "calm-0", "other", "flood-0", "calm-1"]
        await checks.order(2)
        await asyncio.gather(*asking)

    async def test_the_newest_and_the_oldest_of_one_client_take_turns(
        self, checks: Checks, ask: Callable[[str, str | None], "asyncio.Task[bool]"]
    ) -> None:
        asking = [ask(f"{n}", "192.0.2.1") for n in range(6)]
        await settled()

        assert await checks.order(6) == ["0", "5", "1", "4", "2", "3"]
        await asyncio.gather(*asking)

    async def test_a_flood_that_goes_on_for_ever_leaves_nobody_waiting_for_ever(
        self, checks: Checks, ask: Callable[[str, str | None], "asyncio.Task[bool]"]
    ) -> None:
        asking = [ask("flood", "192.0.2.1") for _ in range(10)]
        await settled()
        asking.append(ask("right", "192.0.2.1"))
        asking.append(ask("flood", "192.0.2.1"))
        await settled()

        answered: list[str] = []
        while "right" not in answered:
            answered.append(await checks.next())
            # Another one comes in for each that is answered.
            asking.append(ask("flood", "192.0.2.1"))
            await settled()
        assert len(answered) <= 21
        await checks.order(len(asking) - len(answered))
        await asyncio.gather(*asking)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("2001:db8::1", "2001:db8::ffff:2"),
            ("fe80::1%eth0", "fe80::2%eth0"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            (None, ""),
            ("", "/run/client.sock"),
        ],
    )
    async def test_addresses_that_one_client_can_have_are_one_client(
        self, checks: Checks, ask: Callable[[str, str | None], "asyncio.Task[bool]"], one: str | None, other: str
    ) -> None:
        asking = [ask("first", "203.0.113.9")]
        await settled()
        asking += [ask("one", one), ask("other", other)]
        await settled()
        asking += [ask("calm", "198.51.100.1")]
        await settled()

        assert await checks.order(4) == ["first", "other", "calm", "one"]
        await asyncio.gather(*asking)

    async def test_mapped_addresses_are_as_many_clients_as_they_stand_for(
        self, checks: Checks, ask: Callable[[str, str | None], "asyncio.Task[bool]"]
    ) -> None:
        asking = [ask("first", "203.0.113.9")]
        await settled()
        asking += [ask("one", "::ffff:192.0.2.1"), ask("late", "::ffff:192.0.2.1"), ask("two", "::ffff:192.0.2.2")]
        await settled()

        assert await checks.order(4) == ["first", "late", "two", "one"]
        await asyncio.gather(*asking)

    async def test_a_request_that_nobody_waits_for_any_more_is_passed_over(self, checks: Checks) -> None:
        gate = Gate(checks)
        first = asyncio.create_task(gate.admits(USERS, basic("alice", "first"), "192.0.2.1"))
        await settled()
        left = asyncio.create_task(gate.admits(USERS, basic("alice", "left"), "192.0.2.1", lambda: True))
        cancelled = asyncio.create_task(gate.admits(USERS, basic("alice", "cancelled"), "192.0.2.1"))
        last = asyncio.create_task(gate.admits(USERS, basic("alice", "last"), "192.0.2.2"))
        await settled()
        cancelled.cancel()

        assert await checks.order(2) == ["first", "last"]
        assert [await task for task in (first, left, last)] == [False] * 3
        assert cancelled.cancelled()
        assert await self.is_free(gate, checks)

    @pytest.mark.parametrize("when", ["before its turn is given", "after its turn is given"])
    async def test_one_that_is_cancelled_just_as_its_turn_comes_hands_it_on(self, checks: Checks, when: str) -> None:
        gate = Gate(checks)

        async def ask_first() -> None:
            await gate.admits(USERS, basic("alice", "first"), "192.0.2.1")
            # In the same turn of the loop in which the next one gets its turn.
            second.cancel()

        first = asyncio.create_task(ask_first())
        await settled()
        second = asyncio.create_task(gate.admits(USERS, basic("alice", "second"), "192.0.2.1"))
        third = asyncio.create_task(gate.admits(USERS, basic("alice", "third"), "192.0.2.2"))
        await settled()
        if when == "before its turn is given":
            # Cancelled, it stands in the queue until it has run.
            release, gate._turns._next = gate._turns._next, lambda: (second.cancel(), release())[1]  # type: ignore[method-assign]

        assert await checks.order(2) == ["first", "third"]
        await first
        assert not await third
        assert second.cancelled()
        assert await self.is_free(gate, checks)

    async def test_past_a_bound_the_oldest_of_the_client_with_most_gives_way(
        self, checks: Checks, ask: Callable[[str, str | None], "asyncio.Task[bool]"]
    ) -> None:
        first = ask("first", "192.0.2.1")
        await settled()
        calm = ask("calm", "192.0.2.2")
        await settled()
        flood = [ask(f"{n}", "192.0.2.1") for n in range(1026)]
        await settled()

        # 1024 wait: the calm one and 1023 of the flood.
        assert [task.done() for task in flood] == [True] * 3 + [False] * 1023
        for task in flood[:3]:
            with pytest.raises(CrowdedError):
                await task
        assert await checks.order(2) == ["first", "calm"]
        await checks.order(1023)
        assert not any(await asyncio.gather(first, calm, *flood[3:]))

    @staticmethod
    async def is_free(gate: Gate, checks: Checks) -> bool:
        asking = asyncio.create_task(gate.admits(USERS, basic("alice", "correct"), "192.0.2.1"))
        assert await checks.next() == "correct"
        return await asking
