"""Did it work? The goal event of a decision, in both arms, and what a failed delivery gives back."""

from engine.decision.limits import give_back
from engine.decision.model import GoalReached
from engine.events.model import Event
from engine.profile.turn import Turn
from engine.rules.compile import RuleSet


def reach_goals(turn: Turn, event: Event) -> None:
    """Report the newest decision whose goal this event is; one event counts for one decision."""
    for goal in reversed(turn.actor.goals):
        if goal.event == event.type and goal.at < event.at <= goal.until:
            turn.emitted.append(
                GoalReached(
                    trigger=goal.trigger,
                    tenant=turn.tenant,
                    rule=goal.rule,
                    customer=turn.node_id,
                    event=event.id,
                    at=event.at,
                    held_out=goal.held_out,
                )
            )
            turn.actor.goals = [g for g in turn.actor.goals if g is not goal]
            return


def take_back(rules: RuleSet, turn: Turn, event: Event) -> None:
    """Give the limits back that a trigger had reserved which could not be delivered for good."""
    wanted = event.data.get("trigger_id")
    for entry in turn.actor.triggers:
        if entry.get("id") == wanted and entry.get("outcome") == "fired":
            entry["outcome"] = "failed"
            rule = rules.rules.get(str(entry["rule"]))
            state = turn.actor.rules.get(str(entry["rule"]))
            if rule is not None and state is not None:
                give_back(rule, turn.actor, state, int(entry["at"]))
            return
