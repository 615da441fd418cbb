"""A match: what a rule found, carried to the decision, and through quiet hours to a later one."""

from typing import Any

import msgspec


class Match(msgspec.Struct, array_like=True):
    """A rule's steps came true.

    `cause`: event id, or a schedule's own cause. `at`: event time it is about, UTC ms. `events`:
    alias -> data of the event that each step matched. `first_at`: when the first step happened.
    """

    cause: str
    at: int
    received_at: int
    events: dict[str, dict[str, Any]]
    instance: str = ""
    first_at: int = 0
    waited: bool = False
