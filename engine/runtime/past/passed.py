"""What in a file of history was no event: how much, and of the first ones where and why."""

from collections.abc import Callable
from dataclasses import dataclass, field

from engine.errors import EngineError

TOLD_MAX = 20


@dataclass(slots=True)
class Passed:
    """Lines or rows that were passed over; `told`: the first TOLD_MAX, each with its place.

    `words`: an error in the words of who reads it.
    """

    words: Callable[[EngineError], EngineError] = lambda error: error
    count: int = 0
    told: list[str] = field(default_factory=list)

    def over(self, error: EngineError) -> None:
        """Take in one more."""
        self.count += 1
        if len(self.told) < TOLD_MAX:
            self.told.append(str(self.words(error)))
