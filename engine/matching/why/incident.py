"""How many customers shared a cause, since when nobody was sent anything, and until when."""

from collections.abc import Container, Sequence
from dataclasses import dataclass

from engine.rules.model import Guard

Ask = tuple[int, str]
"""Who asked the incident of a cause, and when (UTC ms)."""


@dataclass(frozen=True, slots=True)
class Incident:
    """What the guard of a rule saw of one cause while a match waited for its answer.

    `customers`: the most that shared it in any `within_ms`; beyond `more_than` nobody is sent
    anything, from `tripped_at` until `released_at` (UTC ms; 0: it did not come to that).
    """

    cause: str
    customers: int
    more_than: int
    within_ms: int
    tripped_at: int = 0
    released_at: int = 0


def incident_of(
    guard: Guard, cause: str, asks: Sequence[Ask], *, who: Container[str], at: int, is_over: bool
) -> Incident | None:
    """Return what became of a match about `at` (UTC ms) that asked; None if it is not in `asks`.

    `asks`: in the order of the log. `who`: ids of the person. `is_over`: `at` is when it was over.
    """
    own = [asked for asked, customer in asks if customer in who]
    before = [asked for asked in own if asked <= at]
    behind = [asked for asked in own if asked >= at]
    if not (before if is_over else behind):
        return None
    since = max(before) if is_over else min(behind)
    until = since + guard.wait_ms
    recent: list[Ask] = []
    most = tripped = mine = released = 0
    for asked, customer in asks:
        low = asked - guard.within_ms
        recent = [each for each in recent if each[0] > low][-guard.asked_max :]
        over_before = _people(recent) > guard.more_than
        recent.append((asked, customer))
        people = _people(recent)
        too_many = people > guard.more_than
        tripped = 0 if not too_many else tripped if tripped and over_before else asked
        if since <= asked <= until:
            most = max(most, people)
            mine = mine or tripped
        if mine and tripped == mine:
            released = _released(guard, recent)
    return Incident(cause, most, guard.more_than, guard.within_ms, mine, released)


def _people(recent: list[Ask]) -> int:
    return len({customer for _, customer in recent})


def _released(guard: Guard, recent: list[Ask]) -> int:
    """Return when so many have left the window that the others may be sent something."""
    newest: dict[str, int] = {}
    for at, customer in recent:
        newest[customer] = max(at, newest.get(customer, 0))
    return sorted(newest.values(), reverse=True)[guard.more_than] + guard.within_ms
