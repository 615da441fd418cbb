"""Waits of the schedule, and when an endpoint is left alone."""

from random import Random

import pytest

from engine.delivery.model import Receipt
from engine.delivery.retry import FAILURES_MAX, OPEN_MS, SCHEDULE_MS, Breaker, next_attempt

FAILED = Receipt("retry", "500")
ACCEPTED = Receipt("accepted", "200")


class _Most(Random):
    def random(self) -> float:
        return 0.999999


@pytest.mark.parametrize(
    ("attempts", "most_s"),
    [(1, 1), (2, 5), (3, 30), (4, 120), (5, 600), (6, 1800), (7, 3600), (8, 10800), (50, 10800)],
)
def test_the_longest_wait_after_so_many_attempts(attempts: int, most_s: int) -> None:
    due = next_attempt(attempts, 1_000_000, _Most())
    assert most_s * 1000 - 20 <= due - 1_000_000 <= most_s * 1000


def test_waits_are_spread_over_all_of_the_step() -> None:
    random = Random(7)
    waits = [next_attempt(3, 0, random) for _ in range(1000)]
    assert min(waits) < 1_000
    assert max(waits) > 29_000
    assert 14_000 < sum(waits) / len(waits) < 16_000


def test_one_seed_gives_the_same_waits() -> None:
    first, second = Random(3), Random(3)
    assert [next_attempt(n, 0, first) for n in range(1, 9)] == [
        next_attempt(n, 0, second) for n in range(1, 9)
    ]


def test_the_receivers_wish_is_a_least_wait() -> None:
    assert next_attempt(1, 0, Random(1), retry_after_ms=7_000) == 7_000
    assert next_attempt(8, 0, _Most(), retry_after_ms=7_000) > SCHEDULE_MS[-1] - 20


def failing(count: int, now: int = 0) -> Breaker:
    breaker = Breaker()
    for _ in range(count):
        breaker.note(FAILED, now)
    return breaker


def test_a_breaker_stays_closed_below_the_limit() -> None:
    assert failing(FAILURES_MAX - 1).may_try(0)


def test_an_open_breaker_lets_nothing_through_until_the_pause_is_over() -> None:
    breaker = failing(FAILURES_MAX)
    assert not breaker.may_try(0)
    assert not breaker.may_try(OPEN_MS - 1)
    assert breaker.may_try(OPEN_MS)


def test_a_half_open_breaker_lets_one_through_a_pause() -> None:
    breaker = failing(FAILURES_MAX)
    assert breaker.may_try(OPEN_MS)
    assert not breaker.may_try(OPEN_MS)
    assert not breaker.may_try(2 * OPEN_MS - 1)
    assert breaker.may_try(2 * OPEN_MS)


@pytest.mark.parametrize("outcome", ["accepted", "rejected"])
def test_one_answer_closes_the_breaker(outcome: str) -> None:
    breaker = failing(FAILURES_MAX)
    breaker.note(Receipt(outcome, ""), OPEN_MS)  # type: ignore[arg-type]
    assert breaker.may_try(OPEN_MS)
    breaker.note(FAILED, OPEN_MS)
    assert breaker.may_try(OPEN_MS)


def test_a_failed_trial_opens_it_again() -> None:
    breaker = failing(FAILURES_MAX)
    assert breaker.may_try(OPEN_MS)
    breaker.note(FAILED, OPEN_MS + 5)
    assert not breaker.may_try(2 * OPEN_MS)
    assert breaker.may_try(2 * OPEN_MS + 5)


def test_retry_after_holds_back_all_triggers_of_the_endpoint() -> None:
    breaker = Breaker()
    breaker.note(Receipt("throttled", "429", retry_after_ms=3_000), 100)
    assert not breaker.may_try(3_099)
    assert breaker.may_try(3_100)
    assert breaker.may_try(3_100)  # throttled once is not broken: all go


def test_successes_between_failures_keep_it_closed() -> None:
    breaker = Breaker()
    for _ in range(3):
        for _ in range(FAILURES_MAX - 1):
            breaker.note(FAILED, 0)
        breaker.note(ACCEPTED, 0)
    assert breaker.may_try(0)
