"""Two persons become one: every part of the state by its owner's own rule."""

from engine.churn import step as churn
from engine.decision.merge import merge_rules
from engine.decision.model import Merged
from engine.matching import segments
from engine.profile.merge import merge_profile
from engine.profile.model import Actor
from engine.profile.turn import Turn


def merge_actor(turn: Turn, loser: Actor, *, absorbed: str, forced: bool) -> None:
    """Add `loser` to the turn's actor: it moves in with its timers; the earlier of two stays."""
    winner = turn.actor
    merge_profile(winner, loser)
    winner.churn = churn.merge(winner.churn, loser.churn)
    merge_rules(winner, loser)
    for timer_id, timer in loser.timers.items():
        known = winner.timers.get(timer_id)
        if known is None or timer.due < known.due:
            late = timer.score - timer.due
            turn.arm(timer_id, timer.due, lateness_ms=late, data=timer.data)
    segments.bring_back(turn)
    merged = Merged(
        tenant=turn.tenant,
        customer=turn.node_id,
        absorbed=absorbed,
        at=turn.now,
        conflict=forced,
    )
    turn.emitted += (merged,)
