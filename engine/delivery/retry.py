"""When to try again, and when to leave an endpoint alone for a while."""

from dataclasses import dataclass
from random import Random

from engine.clock import HOUR_MS, MINUTE_MS, SECOND_MS

# WIRE.md, Sizes and answers: each wait is drawn from [0, this], "full jitter".
SCHEDULE_MS = (
    SECOND_MS,
    5 * SECOND_MS,
    30 * SECOND_MS,
    2 * MINUTE_MS,
    10 * MINUTE_MS,
    30 * MINUTE_MS,
    HOUR_MS,
    3 * HOUR_MS,
)
FAILURES_MAX = 5  # in a row, then the breaker opens
OPEN_MS = 10 * SECOND_MS


def next_attempt(attempts: int, now: int, random: Random, *, retry_after_ms: int = 0) -> int:
    """Return when to try again after `attempts` tries, in ms of the clock of `now`.

    The receiver's own wish is a least wait. After the schedule its last step repeats.
    """
    longest = SCHEDULE_MS[min(attempts, len(SCHEDULE_MS)) - 1]
    return now + max(retry_after_ms, int(random.random() * longest))


@dataclass(slots=True)
class Breaker:
    """Closed: all go. Open: none until OPEN_MS have passed, then one decides for all."""

    failures: int = 0
    opened_at: int = 0

    def may_try(self, now: int) -> bool:
        """Tell whether an attempt may go out; after a pause, one may."""
        if self.failures < FAILURES_MAX:
            return True
        if now - self.opened_at >= OPEN_MS:
            self.opened_at = now
            return True
        return False

    def note(self, ok: bool, now: int) -> None:
        """Take in how an attempt ended."""
        if ok:
            self.failures = 0
            return
        self.failures += 1
        if self.failures >= FAILURES_MAX:
            self.opened_at = now
