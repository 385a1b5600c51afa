import gc
import tracemalloc

from exporter.campaign.attempts import Attempt, AttemptsState, Durations, Tally, Verdicts
from exporter.campaign.labels import LabelBudget

ALL = Verdicts(lambda criterion: True, {})


def state(exemplar_label: str | None = None) -> AttemptsState:
    budgets: dict[str, LabelBudget] = {}

    def budget(family: str, known: tuple[str, ...]) -> LabelBudget:
        return budgets.setdefault(family, LabelBudget(known, lambda: None))

    return AttemptsState(budget, exemplar_label)


def ended(number: int, **fields: object) -> Attempt:
    given = {"status": "completed", "started_at": 0.0, "ended_at": 42.0, "seconds": 42.0, **fields}
    return Attempt(id=f"attempt {number}", **given)  # type: ignore[arg-type]  # fields of an attempt, by name


def read(attempts: AttemptsState, *found: Attempt, verdicts: Verdicts = ALL) -> None:
    tally = Tally(verdicts, attempts.counted)
    for place, attempt in enumerate(found):
        tally.add(f"contact {place}", [attempt])
    attempts.take(tally, tally.all_counted(), 0, 1.0, 100.0)


def count(attempts: AttemptsState) -> int:
    return sum(sum(durations.counts) for durations in (attempts.durations or {}).values())


def test_an_attempt_counts_once_from_the_second_reading_on() -> None:
    attempts = state()

    seen = []
    for numbers in ((1, 2), (1, 2, 3), (3,), (1, 2, 3, 4)):
        read(attempts, *map(ended, numbers))
        seen.append(count(attempts))

    assert seen == [0, 1, 1, 2]


def test_a_status_that_was_seen_before_begins_at_zero() -> None:
    attempts = state()

    read(attempts, ended(1, status="unanswered"))

    assert attempts.durations == {"unanswered": Durations()}


def test_a_contact_that_is_seen_twice_counts_at_its_first_sight() -> None:
    tally = Tally(ALL)

    assert tally.add("a", [ended(1)])
    assert not tally.add("a", [ended(1), ended(2)])
    assert tally.attempts == 1


def test_verdicts_beyond_fifty_criteria_are_counted_as_other() -> None:
    attempts = state()

    read(attempts, ended(1, verdicts={f"metric.criterion {n}": "true" for n in range(80)}))

    outcomes = attempts.reading.outcomes or {}
    assert len({criterion for criterion, _ in outcomes}) == 51
    assert outcomes["other", "true"] == 30


def test_expected_outcomes_count_as_compliant() -> None:
    attempts = state()
    verdicts = Verdicts(lambda criterion: True, {"qa.fraud": "false", "qa.never_seen": "true"})

    read(attempts, ended(1, verdicts={"qa.fraud": "false"}), ended(2, verdicts={"qa.fraud": "true"}), verdicts=verdicts)

    assert attempts.reading.compliant == {"qa.fraud": 1, "qa.never_seen": 0}


def test_an_expected_outcome_counts_though_its_criterion_is_not_shown() -> None:
    attempts = state()

    read(attempts, ended(1, verdicts={"qa.fraud": "false"}), verdicts=Verdicts(lambda _: False, {"qa.fraud": "false"}))

    assert attempts.reading.compliant == {"qa.fraud": 1}
    assert attempts.reading.outcomes == {}


def test_an_open_attempt_of_the_future_is_shown_as_of_now() -> None:
    attempts = state()

    read(attempts, ended(1, started_at=500.0, ended_at=None, seconds=None))

    assert attempts.reading.oldest_open == 100.0


def test_an_attempt_that_ends_in_the_future_has_no_duration() -> None:
    attempts = state()
    read(attempts, ended(1, ended_at=5000.0, seconds=4990.0))

    read(attempts, ended(1, ended_at=5000.0, seconds=4990.0), ended(2, ended_at=6000.0, seconds=5990.0))

    assert count(attempts) == 0
    assert [attempt.seconds for attempt in attempts.newest] == [None, None]


def test_the_newest_call_of_a_bucket_is_its_exemplar() -> None:
    attempts = state("conversation_id")
    read(attempts)

    read(
        attempts,
        ended(1, ended_at=50.0, conversation_id="older"),
        ended(2, ended_at=60.0, conversation_id="newer"),
        ended(3, ended_at=70.0, conversation_id="x" * 200),
    )

    (durations,) = (attempts.durations or {}).values()
    assert [e and (e.label, e.id, e.at) for e in durations.exemplars if e] == [("conversation_id", "newer", 60.0)]


def test_a_call_without_a_moment_is_no_exemplar() -> None:
    call = Attempt("1", "picked", seconds=12.0, conversation_id="call-1")

    durations = Durations().with_calls([call], "call_id")

    assert sum(durations.counts) == 1
    assert not any(durations.exemplars)


def test_a_withdrawn_reading_leaves_the_counters() -> None:
    attempts = state()
    read(attempts)
    read(attempts, ended(1))

    attempts.withdraw()

    assert attempts.reading.by_status is None
    assert count(attempts) == 1


def test_140000_counted_attempts_take_less_than_a_megabyte_and_a_half() -> None:
    attempts = state()
    tracemalloc.start()
    try:
        for first in (0, 70_000):
            tally = Tally(ALL, attempts.counted)
            for number in range(first, first + 70_000):
                tally.add(str(number), [ended(number)])
            attempts.take(tally, tally.all_counted(), 0, 1.0, 0.0)
            del tally
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert count(attempts) == 70_000
    assert kept < 1_500_000
