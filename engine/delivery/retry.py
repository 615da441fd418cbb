"""When to try again, and when to leave an endpoint alone for a while."""

from dataclasses import dataclass
from random import Random

from engine.clock import HOUR_MS, MINUTE_MS, SECOND_MS
from engine.delivery.model import Receipt

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
    """Return when to try again after `attempts` (at least 1) tries, in ms of the clock of `now`.

    The receiver's own wish is a least wait. After the schedule its last step repeats: what ends
    the tries is the trigger's `expires_at`.
    """
    assert attempts >= 1
    longest = SCHEDULE_MS[min(attempts, len(SCHEDULE_MS)) - 1]
    return now + max(retry_after_ms, int(random.random() * longest))


@dataclass(slots=True)
class Breaker:
    """Closed: all go. Open: none until `open_until`, then one a pause, until one is answered.

    `failures`: in a row. `open_until`: real ms; also what a receiver asked for by Retry-After.
    """

    failures: int = 0
    open_until: int = 0

    def may_try(self, now: int) -> bool:
        """Tell whether an attempt may go out; True while half open is said once a pause."""
        if now < self.open_until:
            return False
        if self.failures >= FAILURES_MAX:
            self.open_until = now + OPEN_MS
        return True

    def note(self, receipt: Receipt, now: int) -> None:
        """Take in how an attempt ended; a receiver that rejects one trigger is not dead."""
        if receipt.outcome in ("accepted", "rejected"):
            self.failures = 0
            self.open_until = 0
            return
        self.failures += 1
        pause = OPEN_MS if self.failures >= FAILURES_MAX else 0
        self.open_until = max(self.open_until, now + max(pause, receipt.retry_after_ms))
