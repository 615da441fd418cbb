"""One actor's turn: what a step of the fold sees, and the only way in which it may have effects."""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from engine.events.model import Event
from engine.outcome import Move, Outcome
from engine.profile.model import TIMERS_MAX, Actor, Timer

OWN_SOURCE = "engine"


class Turn(msgspec.Struct, gc=False):
    """An actor with its place in time. Steps change `actor` in place and call the methods below.

    `now`: log time L, UTC ms of the last tick. `passed`: T, what all partitions have passed by it
    (IDENTITY.md, Time); what is younger may still be on its way here. `lateness_ms(type)`: the
    largest lateness among the sources that may send an event type. `emitted`: records for topic
    `triggers`, in order. `derived`: events of the engine's own that the same turn looks at next.
    `moved`: records for other topics, in order.
    """

    tenant: str
    node_id: str
    actor: Actor
    now: int
    outcome: Outcome
    lateness_ms: Callable[[str], int]
    by_timer: bool = False  # a tick opened this turn, not an event: its triggers have waited
    passed: int = 0
    # Tuples: most turns have no effect, and four lists would be nearly half of what one costs.
    emitted: tuple[msgspec.Struct, ...] = ()
    derived: tuple[Event, ...] = ()
    moved: tuple[Move, ...] = ()
    # Events of ours for other actors: (node id, or kind and name of a thing; event).
    parts: tuple[tuple[str | tuple[str, str], Event], ...] = ()

    def own_event(
        self,
        type: str,
        data: dict[str, Any],
        *,
        at: int,
        received_at: int,
        made_of: Sequence[str],
        ids: Sequence[str] = (),
    ) -> Event:
        """Return an event of the engine's own about this actor, with the ids `ids`.

        `made_of`: what its id is the hash of, so that a replay gives the same one. UTC ms.
        """
        return Event(
            id=sha256("\0".join(made_of).encode()).hexdigest()[:32],
            tenant=self.tenant,
            source=OWN_SOURCE,
            type=type,
            at=at,
            original_at=at,
            received_at=received_at,
            ids=list(ids) or [self.node_id],
            data=data,
        )

    def event_for_another(self, type: str, data: dict[str, Any], *, at: int) -> Event:
        """Return an event of the engine's own that tells another actor, who hears from whom."""
        made_of = (self.tenant, type, self.node_id, str(at), *map(str, data.values()))
        ids = (self.node_id, self.node_id)  # the second is who says it, as in any PART
        return self.own_event(type, data, at=at, received_at=at, made_of=made_of, ids=ids)

    def member(self, timer_id: str) -> str:
        """Return the name of a timer in the partition's timer set."""
        return f"{self.tenant}:{self.node_id}|{timer_id}"

    def arm(self, timer_id: str, due: int, *, lateness_ms: int = 0, data: Any = None) -> bool:
        """Set (or set anew) a timer that fires at `due`, decided once T passes due + lateness.

        Returns False, and counts `suppressed`, when the actor has TIMERS_MAX timers already.
        """
        timers = self.actor.timers
        if timer_id not in timers and len(timers) >= TIMERS_MAX:
            self.outcome.count("suppressed")
            return False
        timers[timer_id] = Timer(due=due, score=due + lateness_ms, data=data)
        self.outcome.timers[self.member(timer_id)] = due + lateness_ms
        return True

    def cancel(self, timer_id: str) -> None:
        """Remove a timer; one that is not armed is no error."""
        if self.actor.timers.pop(timer_id, None) is not None:
            self.outcome.timers[self.member(timer_id)] = None
