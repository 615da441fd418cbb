"""Did it work? The goal of a decision, in both arms, and what a failed delivery gives back."""

from engine.decision.limits import give_back
from engine.decision.model import GoalReached, Trigger
from engine.events.model import Event
from engine.profile.model import Goal
from engine.profile.turn import Turn
from engine.rules.compile import RuleSet
from engine.rules.model import Goal as Wanted
from engine.rules.model import Rule

GOALS_MAX = 20


def await_goal(turn: Turn, rule: Rule, wanted: Wanted, trigger: Trigger) -> None:
    """Wait for the goal of a decision; those that are over make room. No timer is needed for it."""
    goal = Goal(
        trigger=trigger.id,
        rule=rule.id,
        event=wanted.event,
        at=trigger.at,
        until=trigger.at + wanted.within_ms,
        held_out=trigger.held_out,
    )
    waiting = [g for g in turn.actor.goals if g.until > turn.now]
    turn.actor.goals = [*waiting, goal][-GOALS_MAX:]


def reach_goals(turn: Turn, event: Event) -> None:
    """Report the newest decision whose goal this event is; one event counts for one decision."""
    open_ = [
        goal
        for goal in turn.actor.goals
        if goal.event == event.type and goal.at < event.at <= goal.until
    ]
    if not open_:
        return
    goal = max(open_, key=lambda each: (each.at, each.trigger))
    turn.outcome.count(f"{'goal_held_out' if goal.held_out else 'goal'}:{goal.rule}")
    reached = GoalReached(
        trigger=goal.trigger,
        tenant=turn.tenant,
        rule=goal.rule,
        customer=turn.node_id,
        event=event.id,
        at=event.at,
        held_out=goal.held_out,
    )
    turn.emitted += (reached,)
    turn.actor.goals = [each for each in turn.actor.goals if each is not goal]


def take_back(rules: RuleSet, turn: Turn, event: Event) -> None:
    """Give the limits back that a decision had reserved which could not be delivered for good.

    A decision of several triggers is given back by the first of them that failed.
    """
    wanted = event.data.get("trigger_id")
    entries = turn.actor.triggers
    failed = next((e for e in entries if wanted and e.get("id") == wanted), None)
    if failed is None or failed["outcome"] != "fired":
        return
    name, at = str(failed["rule"]), int(failed["at"])
    same = [e for e in entries if e["rule"] == name and e["at"] == at]
    before = any(e["outcome"] == "failed" for e in same)
    turn.actor.triggers = [{**e, "outcome": "failed"} if e is failed else e for e in entries]
    rule = rules.rules.get(name)
    if rule is not None and not before:
        give_back(rule, turn.actor, at)
