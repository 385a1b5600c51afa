"""Passwords: what is right, what a failure costs, and how many may wait."""

import asyncio
import base64
import subprocess
import sys
import textwrap
import threading

import bcrypt
import pytest

from exporter.web.auth import CrowdedError, Gate, cost_of
from tests.process import PATIENCE


def hashed(password: str, cost: int = 4) -> bytes:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost))


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


ALICE = hashed("correct")
USERS = {b"alice": ALICE}


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
    users = {b"alice": ALICE.replace(b"$2b$", f"${mark}$".encode())}

    assert await Gate().admits(users, basic("alice", "correct"))
    assert not await Gate().admits(users, basic("alice", "wrong"))
    assert not await Gate().admits(users, basic("bob", "correct"))


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"correct",
        b"$2b$04$short",
        ALICE + b"x",
        ALICE.replace(b"$2b$", b"$2x$"),
        ALICE.replace(b"$04$", b"$03$"),
        ALICE.replace(b"$04$", b"$32$"),
    ],
    ids=["nothing", "a password", "cut off", "too long", "another algorithm", "too cheap", "too dear"],
)
def test_what_cannot_be_checked_has_no_cost(stored: bytes) -> None:
    assert cost_of(stored) == 0


def test_the_cost_of_a_hash_stands_in_it() -> None:
    assert [cost_of(ALICE.replace(b"$04$", b"$%02d$" % cost)) for cost in (4, 18, 31)] == [4, 18, 31]


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

    assert not await Gate(checks).admits(USERS, header)
    assert checks.asked == []


async def test_a_password_may_hold_anything_and_its_scheme_be_written_in_any_case() -> None:
    users = {"zoë".encode(): hashed("pass:wörd ")}

    header = basic("zoë", "pass:wörd ").replace("Basic", "bASIC")

    assert await Gate().admits(users, header)


async def test_what_bcrypt_does_not_look_at_is_cut_off_as_other_programs_cut_it_off() -> None:
    users = {b"alice": hashed("x" * 72)}

    assert await Gate().admits(users, basic("alice", "x" * 100))
    assert not await Gate().admits(users, basic("alice", "x" * 71))


async def test_a_right_password_is_checked_once() -> None:
    checks = Checks()
    gate = Gate(checks)

    assert [await gate.admits(USERS, basic("alice", "correct")) for _ in range(3)] == [True] * 3

    assert checks.asked == [(b"correct", ALICE)]


async def test_a_right_password_that_waits_behind_itself_is_checked_once() -> None:
    checks = Checks(hold=True)
    gate = Gate(checks)
    asking = [asyncio.create_task(gate.admits(USERS, basic("alice", "correct"))) for _ in range(3)]

    await checks.next()

    assert await asyncio.gather(*asking) == [True] * 3
    assert len(checks.asked) == 1


async def test_a_wrong_password_is_never_remembered() -> None:
    checks = Checks()
    gate = Gate(checks)

    assert [await gate.admits(USERS, basic("alice", "wrong")) for _ in range(3)] == [False] * 3

    assert len(checks.asked) == 3


async def test_another_hash_makes_a_remembered_password_worthless() -> None:
    gate = Gate()
    assert await gate.admits(USERS, basic("alice", "correct"))

    assert not await gate.admits({b"alice": hashed("other")}, basic("alice", "correct"))
    assert not await gate.admits({b"bob": ALICE}, basic("alice", "correct"))


async def test_no_password_stays_in_memory_and_no_more_than_some_digests_do() -> None:
    gate = Gate()
    users = {b"alice": hashed("x" * 72)}

    for number in range(300):
        # Each is right, and another one.
        assert await gate.admits(users, basic("alice", "x" * 72 + str(number)))

    remembered = gate._right
    assert len(remembered) == 256
    assert all(len(digest) == 64 and b"xxx" not in digest for digest in remembered)
    assert gate._digest(b"ab", b"c", b"d") != gate._digest(b"a", b"bc", b"d")


@pytest.mark.parametrize("name", ["cheap", "dear", "nobody"])
async def test_a_failure_costs_the_same_for_every_name(name: str) -> None:
    users = {b"cheap": hashed("a", 4), b"dear": hashed("b", 7)}
    checks = Checks()

    assert not await Gate(checks).admits(users, basic(name, "wrong"))

    assert sum(2 ** cost_of(stored) for _, stored in checks.asked) == 2**7


async def test_nobodys_hash_fits_no_password_and_is_computed_in_full() -> None:
    asked = []

    def check(password: bytes, stored: bytes) -> bool:
        asked.append(stored)
        return bcrypt.checkpw(password, stored)

    assert not await Gate(check).admits(USERS, basic("nobody", "correct"))
    (stored,) = asked
    assert bcrypt.hashpw(b"correct", stored)[:29] == stored[:29]


async def test_one_hash_is_computed_at_a_time_and_off_the_event_loop() -> None:
    checks = Checks(hold=True)
    gate = Gate(checks)
    asking = [asyncio.create_task(gate.admits(USERS, basic("alice", f"{n}"))) for n in range(5)]
    await settled()

    async with asyncio.timeout(PATIENCE):
        while not checks.asked:  # noqa: ASYNC110 -- the loop's turns are what is tested: it must go on having them
            await asyncio.sleep(0)
    await settled()
    assert len(checks.asked) == 1

    await checks.order(5)
    assert await asyncio.gather(*asking) == [False] * 5


async def test_a_real_hash_lets_other_threads_go_on() -> None:
    turns = 0
    of_the_hash: list[int] = []

    def check(password: bytes, stored: bytes) -> bool:
        before = turns
        right = bcrypt.checkpw(password, stored)
        of_the_hash.append(turns - before)
        return right

    users = {b"alice": hashed("correct", 12)}
    asking = asyncio.create_task(Gate(check).admits(users, basic("alice", "wrong")))
    while not asking.done():
        await asyncio.sleep(0)
        turns += 1

    assert len(of_the_hash) == 1
    assert of_the_hash[0] > 0


class TestMany:
    @pytest.fixture
    async def checks(self) -> Checks:
        return Checks(hold=True)

    async def test_they_are_checked_in_the_order_in_which_they_came(self, checks: Checks) -> None:
        gate = Gate(checks)
        asking = [asyncio.create_task(gate.admits(USERS, basic("alice", f"{n}"))) for n in range(4)]

        assert await checks.order(4) == ["0", "1", "2", "3"]
        assert not any(await asyncio.gather(*asking))

    async def test_past_a_limit_they_are_not_checked_and_a_remembered_one_still_gets_in(self, checks: Checks) -> None:
        gate = Gate(checks)
        first = asyncio.create_task(gate.admits(USERS, basic("alice", "correct")))
        assert await checks.next() == "correct"
        assert await first

        flood = [asyncio.create_task(gate.admits(USERS, basic("alice", f"{n}"))) for n in range(70)]
        await settled()

        assert await gate.admits(USERS, basic("alice", "correct"))
        assert [task.done() for task in flood] == [False] * 64 + [True] * 6
        for task in flood[64:]:
            with pytest.raises(CrowdedError):
                await task
        await checks.order(64)
        assert not any(await asyncio.gather(*flood[:64]))
        assert not await self.takes_another(gate, checks)

    async def test_one_whose_client_has_gone_is_not_checked(self, checks: Checks) -> None:
        gate = Gate(checks)
        first = asyncio.create_task(gate.admits(USERS, basic("alice", "first")))
        await settled()
        left = asyncio.create_task(gate.admits(USERS, basic("alice", "left"), lambda: True))
        cancelled = asyncio.create_task(gate.admits(USERS, basic("alice", "cancelled")))
        last = asyncio.create_task(gate.admits(USERS, basic("alice", "last")))
        await settled()
        cancelled.cancel()

        assert await checks.order(2) == ["first", "last"]
        assert [await task for task in (first, left, last)] == [False] * 3
        assert cancelled.cancelled()
        assert not await self.takes_another(gate, checks)

    async def test_one_that_is_cancelled_while_it_is_checked_holds_up_nobody(self, checks: Checks) -> None:
        gate = Gate(checks)
        first = asyncio.create_task(gate.admits(USERS, basic("alice", "first")))
        await settled()
        first.cancel()
        await settled()

        assert first.cancelled()
        assert await checks.next() == "first"
        assert not await self.takes_another(gate, checks)

    async def test_an_error_of_a_check_holds_up_nobody(self) -> None:
        def check(password: bytes, stored: bytes) -> bool:
            raise ValueError("no such hash")

        gate = Gate(check)
        for _ in range(2):
            with pytest.raises(ValueError, match="no such hash"):
                await gate.admits(USERS, basic("alice", "any"))

    @staticmethod
    async def takes_another(gate: Gate, checks: Checks) -> bool:
        asking = asyncio.create_task(gate.admits(USERS, basic("alice", "another")))
        assert await checks.next() == "another"
        return await asking


def test_the_process_does_not_wait_at_its_end_for_a_check() -> None:
    code = """
        import asyncio, time
        from exporter.web.auth import Gate
        async def main():
            gate = Gate(lambda password, stored: time.sleep(1000))
            users = {b"alice": b"$2b$04$" + b"." * 53}
            asyncio.create_task(gate.admits(users, "Basic YWxpY2U6eA=="))
            await asyncio.sleep(0.1)
        asyncio.run(main())
    """

    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, timeout=60, check=False)

    assert (done.returncode, done.stderr) == (0, b"")
