"""A match: what a rule found, carried to the decision, and through quiet hours to a later one."""

from typing import Any

import msgspec

Mark = tuple[int, str]
"""When an event happened (UTC ms) and its id: the order of all events of an actor."""


class Match(msgspec.Struct, array_like=True):
    """A rule's steps came true, or some of them so far.

    `cause`: id of the event that completed the last step in event time, or a schedule's own cause.
    `at`: event time it is about, UTC ms. `received_at`: when the door took the event whose arrival
    completed it. `events`: alias -> data of the last event of each step, only what the rule reads.
    `first_at`: when the first step happened. `waited`: a timer decided it. `marks`: the last event
    of each step, in order.
    """

    cause: str
    at: int
    received_at: int
    events: dict[str, dict[str, Any]]
    instance: str = ""
    first_at: int = 0
    waited: bool = False
    marks: list[Mark] = []


def of_date(rule: str, day: str, of: str, *, due: int, since: int | None = None) -> Match:
    """Return the match of a date that has come: no event is its cause, but a local day.

    `of`: what the date is of, the node that armed it. `due`: UTC ms; `since`: of a silence its
    begin.
    """
    return Match(
        cause=f"{rule}|{day}|{of}",
        at=due,
        received_at=due,
        events={},
        first_at=due if since is None else since,
        waited=True,
    )
