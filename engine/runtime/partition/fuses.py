"""A rule that breaks too often is switched off by a record in the log, for every partition.

The record makes it part of the state: whoever replays the log passes the rule over from the same
place on. Another version of the rule, in the next rule set, is switched on again by the fold.
"""

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Sequence
from time import monotonic

import msgspec

from engine.errors import EngineError
from engine.events import topics
from engine.events.record import Outgoing
from engine.identity import mac
from engine.identity.messages import Disable
from engine.ports import Publisher

WINDOW_S = 60.0
AGAIN_S = 1.0
Broken = tuple[str, str]  # a rule and its version
log = logging.getLogger(__name__)


class Fuses:
    """Counts the errors of rules in this process. `errors_max` in a minute blow; 0: none ever."""

    def __init__(
        self, publisher: Publisher, *, partition_count: int, secret: bytes, errors_max: int
    ) -> None:
        self._publisher = publisher
        self._count = partition_count
        self._secret = secret
        self._errors_max = errors_max
        self._times: dict[Broken, deque[float]] = defaultdict(lambda: deque(maxlen=errors_max + 1))
        self._blown: list[Broken] = []
        self._wake = asyncio.Event()

    def note(self, broken: Sequence[Broken]) -> None:
        """Take in the errors of one committed batch."""
        if not self._errors_max:
            return
        now = monotonic()
        for rule in broken:
            times = self._times[rule]
            times.append(now)
            if len(times) > self._errors_max and now - times[0] <= WINDOW_S:
                del self._times[rule]
                if rule not in self._blown:
                    self._blown.append(rule)
                    self._wake.set()

    async def run(self) -> None:
        """Write what has blown into the log, until cancelled."""
        while True:
            await self._wake.wait()
            rule, version = self._blown[0]
            try:
                await self._publisher.publish(self.records(rule, version))
            except (EngineError, OSError, TimeoutError) as error:
                log.warning("rule %s is not disabled yet: %s", rule, error)
                await asyncio.sleep(AGAIN_S)
                continue
            log.error(
                "rule %s (%s) broke more than %d times in a minute: disabled until another "
                "version of it is published",
                rule, version, self._errors_max,
            )  # fmt: skip
            del self._blown[0]
            if not self._blown:
                self._wake.clear()

    def records(self, rule: str, version: str) -> list[Outgoing]:
        """Return DISABLE for every partition."""
        value = msgspec.json.encode(Disable(rule, version))
        seal = mac.sign("disable", b"disable", value, self._secret)
        headers = (("kind", b"disable"), ("mac", seal))
        return [
            Outgoing(topics.EVENTS, partition, b"disable", value, headers)
            for partition in range(self._count)
        ]
