"""What a rule reads, and which event types can change it: at all others nobody needs to look."""

from collections.abc import Iterable

from engine.events.contract import Contracts
from engine.profile import schema
from engine.rules.expression.compile import Reads, Value
from engine.rules.model import Rule
from engine.rules.scopes import FACTS


def movers(reads: Reads, contracts: Contracts) -> frozenset[str] | None:
    """Return the event types that can change what is read, None if any can."""
    if reads.columns or reads.tallies or reads.features or reads.fields:
        return None
    return movers_of(reads.profile, contracts)


def movers_of(facts: Iterable[str], contracts: Contracts) -> frozenset[str] | None:
    """Return the event types that can change some facts of the profile, None if any can."""
    found: set[str] = set()
    for name in facts:
        moved_by = schema.moved_by(FACTS, name)
        if moved_by is None:
            return None
        found |= moved_by
        found |= {n for n, each in contracts.by_name.items() if name in each.traits.values()}
    return frozenset(found)


def ages(reads: Reads) -> bool:
    """Tell whether time alone can change what is read of the profile."""
    return not schema.AGES.isdisjoint(reads.profile)


def arming(rule: Rule, contracts: Contracts) -> frozenset[str] | None:
    """Return the event types after which a scheduled rule may want another timer, None: all.

    Its first timer is armed at the first event of whatever type that a person has under a rule set.
    """
    schedule = rule.schedule
    assert schedule is not None
    if schedule.silent_ms:
        return frozenset({schedule.event} if schedule.event else ())
    facts = ("zone",) if schedule.weekdays else (schedule.fact, "zone")
    return movers_of(facts, contracts)


def reads_of(rule: Rule) -> list[Reads]:
    """Return what each condition and value of a rule reads."""
    conditions = [step.where for step in (*rule.steps, *rule.cancels)] + [rule.condition]
    values = [
        part
        for action in rule.actions
        for parts in action.fields.values()
        for part in parts
        if isinstance(part, Value)
    ]
    if rule.guard is not None:
        values.append(rule.guard.same)
    if rule.table is not None:
        conditions += [each for axis in rule.table.axes for _, each in axis.grades]
    if rule.absent is not None:
        conditions.append(rule.absent.where)
        if rule.absent.within is not None:
            values.append(rule.absent.within)
    return [c.reads for c in conditions if c is not None] + [v.reads for v in values]
