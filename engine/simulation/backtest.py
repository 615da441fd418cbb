"""What some rules would have done: whom they reach, what stops them, what another set does."""

from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

import msgspec

from engine.identity.node import Tombstone
from engine.keys import node_name
from engine.outcome import Note, Outcome
from engine.pipeline.envelope import Arrival
from engine.pipeline.state import Live, Partition
from engine.profile.calendar import day_of, zone_of
from engine.profile.sums import added
from engine.rules.compile import RuleSet, index
from engine.rules.expression.types import MINOR_UNITS
from engine.rules.model import Rule
from engine.rules.offers import Offers

ACTED = ("fired", "held_out", "shadow")
INCIDENT = "incident"  # of which kind the entity is that raises a guard's case
STRANGE_MAX = 8
UNKNOWN = "-"  # a customer without the trait that makes the segments
SAMPLE_MAX = 20  # customers named per rule and list
RIVALS = {"limit", "suppressed"}  # stops that another rule may be the cause of
WAITS = {"quiet"}  # not taken away: it comes again in the morning, and is counted then
AWAKE = ("live", "shadow")
NOTHING = Offers()
OFTEN = 0.2  # of all events: what is more of one type is followed one by one at a price


class _Left(msgspec.Struct):
    """Of a record of topic `triggers`, what is counted here."""

    type: str
    rule: str = ""
    id: str = ""
    customer: str = ""
    status: str = "live"
    held_out: bool = False
    at: int = 0
    entity: str = ""


_left = msgspec.json.Decoder(_Left).decode


@dataclass(slots=True)
class RuleTally:
    """What one rule did. `stops`: reason -> times; `lost_to`: the other rule -> times.

    `decisions` counts matches that acted, `held_out` those of the comparison group, `actions` each
    thing done; `days` are the customer's. `raised`: cases of its guard.
    """

    decisions: int = 0
    held_out: int = 0
    shadow: int = 0
    customers: set[str] = field(default_factory=set)
    channels: Counter[str] = field(default_factory=Counter)
    segments: Counter[str] = field(default_factory=Counter)
    days: Counter[str] = field(default_factory=Counter)
    actions: Counter[str] = field(default_factory=Counter)
    stops: Counter[str] = field(default_factory=Counter)
    lost_to: Counter[str] = field(default_factory=Counter)
    beats: Counter[str] = field(default_factory=Counter)
    goals: int = 0
    goals_held_out: int = 0
    raised: int = 0


class Watch:
    """Listens to a Past: every decision, and every stop with the rule that was in the way.

    `since`: UTC ms; what is decided about an earlier time is not counted, though it still fills
    windows, limits and sequences. `segment`: the trait by which customers are grouped.
    """

    def __init__(
        self, rules: Mapping[str, Rule], *, since: int = 0, until: int = 0, segment: str = "tier"
    ) -> None:
        self.rules = rules
        self.tallies: dict[str, RuleTally] = {}
        self.triggers: dict[str, tuple[str, str, int]] = {}  # id -> (rule, customer, at)
        self.counts: Counter[str] = Counter()
        self.followed: Counter[str] = Counter()  # rule -> events that its `times:` looked at
        self._since = since
        self._until = until or 2**63
        self._segment = segment
        self._newest: dict[tuple[str, str], tuple[int, str]] = {}  # customer, group -> when, rule
        self.strange: Counter[str] = Counter()  # event types without a contract
        self.gone: set[str] = set()  # who was erased: counted, and named nowhere
        self._last: Any = None  # the match of the last decision: it has a note for each action

    def heard(self, state: Partition, arrival: Arrival, outcome: Outcome) -> None:
        """Count one record's effects."""
        for _, move in outcome.triggers:
            self._left(_left(move.value))
        for note in outcome.notes:
            if self._since <= note.at < self._until:
                self._note(note, state)
            if note.outcome == "fired":
                self._remember(note)

    def ended(self, state: Partition) -> None:
        """Add what a Past has counted by its end, and the events that were followed one by one.

        Their number is what logs still hold, which is less than there were of a busy customer.
        """
        self.counts.update(state.outcome.counts)
        self.gone |= {
            name.rpartition(":")[2]
            for name, node in state.nodes.items()
            if isinstance(node, Tombstone) and node.erased
        }
        followers = [rule for rule in self.rules.values() if _follows(rule)]
        for node in state.nodes.values() if followers else ():
            if isinstance(node, Live):
                for rule in followers:
                    log = node.actor.logs.get(rule.steps[0].event)
                    if log is not None and node.actor.kind == rule.key:
                        self.followed[rule.id] += len(log.times) // 8

    def of(self, rule: str) -> RuleTally:
        """Return a rule's tally."""
        return self.tallies.setdefault(rule, RuleTally())

    def _left(self, left: _Left) -> None:
        if not self._since <= left.at < self._until:
            return
        if left.type == "goal":
            tally = self.of(left.rule)
            tally.goals_held_out += left.held_out
            tally.goals += not left.held_out
        elif left.type == "trigger" and left.status == "live" and not left.held_out:
            self.triggers[left.id] = (left.rule, left.customer, left.at)
            if left.entity == INCIDENT:
                self.of(left.rule).raised += 1

    def _note(self, note: Note, state: Partition) -> None:
        tally = self.of(note.rule)
        if note.outcome not in ACTED:
            tally.stops[note.outcome] += 1
            if note.outcome in RIVALS and (rival := self._rival(note)):
                tally.lost_to[rival] += 1
                self.of(rival).beats[note.rule] += 1
            return
        again, self._last = note.match is self._last, note.match
        if note.outcome == "held_out":
            tally.held_out += not again
            return
        if note.outcome == "shadow":
            tally.shadow += not again
            return
        tally.actions[note.action] += 1
        if note.channels:
            tally.channels[note.channels[0]] += 1
        if again:
            return
        tally.decisions += 1
        tally.customers.add(note.customer)
        live = state.nodes[node_name(note.tenant, note.customer)]
        assert isinstance(live, Live), "who decides is alive"
        trait = live.actor.traits.get(self._segment)
        tally.segments[UNKNOWN if trait is None else str(trait.value)] += 1
        tally.days[day_of(note.at, zone_of(live.actor))] += 1

    def _remember(self, note: Note) -> None:
        rule = self.rules.get(note.rule)
        if rule is None:
            return
        groups = set(rule.groups) | {a.name for a in rule.actions if a.type == "suppress"}
        for group in groups:
            self._newest[note.customer, group] = (note.at, note.rule)

    def _rival(self, note: Note) -> str:
        """Return the other rule whose decision used up the group's cap, or suppressed it."""
        groups = self.rules[note.rule].groups if note.rule in self.rules else ()
        found = [
            self._newest[note.customer, group]
            for group in sorted(groups)
            if (note.customer, group) in self._newest
        ]
        return next((rule for _, rule in sorted(found, reverse=True) if rule != note.rule), "")


def awake(rules: RuleSet, names: Iterable[str]) -> RuleSet:
    """Return the rule set with the drafts and shadows of `names` live: what they would do."""
    wanted = set(names)
    found = {
        name: rule.with_status("live")
        if name in wanted and rule.status in ("draft", "shadow")
        else rule
        for name, rule in rules.rules.items()
    }
    return index(
        found,
        rules.contracts,
        version=rules.version,
        warnings=rules.warnings,
        shared=rules.shared,
    )


def report(
    proposed: Watch, live: Watch | None = None, *, offers: Offers = NOTHING
) -> dict[str, Any]:
    """Return all answers as plain data; costs in major units, of offers as if all were used.

    `diff` says, by rule, what the proposed set does and the live one does not (`more`), and the
    other way round (`fewer`); the same trigger id in both is the same decision.
    """
    rules = [
        _of_rule(name, tally, offers, proposed.gone)
        for name, tally in sorted(proposed.tallies.items())
    ]
    counts = proposed.counts
    found: dict[str, Any] = {
        "events": counts["applied"],
        "duplicates": counts["duplicate"],
        "without_contract": dict(proposed.strange.most_common(STRANGE_MAX)),
        "customers": counts["customers"],
        "decisions": sum(rule["decisions"] for rule in rules),
        "held_out": sum(rule["held_out"] for rule in rules),
        "cost": {
            name: round(sum(rule["cost"][name] for rule in rules), 2)
            for name in ("messages", "offers_at_most")
        },
        "currency": offers.currency,
        "rules": rules,
        "silent": sorted(
            name
            for name, rule in proposed.rules.items()
            if rule.status in ("live", "shadow") and not _ever(proposed.tallies.get(name))
        ),
        "rule_errors": counts["rule_errors"],
        "unknown": _by_rule(counts, "unknown:"),
        "followed": [
            _of_step(proposed.rules[name], events, counts["applied"])
            for name, events in sorted(proposed.followed.items())
            if events > OFTEN * counts["applied"]
        ],
    }
    if live is not None:
        found["diff"] = _difference(proposed, live)
    return found


def _follows(rule: Rule) -> bool:
    """Tell whether a rule remembers each event of a type until there are several."""
    step = rule.steps[0] if rule.steps and rule.schedule is None else None
    return step is not None and step.times > 1 and step.where is None and rule.status in AWAKE


def _of_step(rule: Rule, events: int, all_events: int) -> dict[str, Any]:
    step = rule.steps[0]
    return {
        "rule": rule.id,
        "event": step.event,
        "times": step.times,
        "within_ms": step.within_ms,
        "events": events,
        "share": round(events / all_events, 3),
    }


def _ever(tally: RuleTally | None) -> bool:
    return tally is not None and bool(tally.decisions or tally.held_out or tally.shadow)


def _by_rule(counts: Mapping[str, int], start: str) -> dict[str, int]:
    return {name[len(start) :]: n for name, n in sorted(counts.items()) if name.startswith(start)}


def _of_rule(name: str, tally: RuleTally, offers: Offers, gone: Set[str]) -> dict[str, Any]:
    taken_away = sum(n for why, n in tally.stops.items() if why not in WAITS)
    return {
        "rule": name,
        "matches": tally.decisions + tally.held_out + tally.shadow + taken_away,
        "decisions": tally.decisions,
        "held_out": tally.held_out,
        "shadow": tally.shadow,
        "customers": len(tally.customers),
        "who": sorted(tally.customers - gone)[:SAMPLE_MAX],
        "actions": dict(tally.actions.most_common()),
        "channels": dict(tally.channels.most_common()),
        "segments": dict(tally.segments.most_common()),
        "days": dict(sorted(tally.days.items())),
        "stopped": dict(tally.stops.most_common()),
        "lost_to": dict(tally.lost_to.most_common()),
        "beats": dict(tally.beats.most_common()),
        "goals": tally.goals,
        "goals_held_out": tally.goals_held_out,
        "raised": tally.raised,
        "cost": _cost(tally, offers),
    }


def _cost(tally: RuleTally, offers: Offers) -> dict[str, float]:
    messages = added([offers.channels.get(way, 0.0) * n for way, n in tally.channels.items()])
    used = sum(
        offers.offers[name].cost_minor * n
        for (kind, _, name), n in ((a.partition(" "), n) for a, n in tally.actions.items())
        if kind == "offer" and name in offers.offers
    )
    return {
        "messages": round(messages / MINOR_UNITS, 2),
        "offers_at_most": round(used / MINOR_UNITS, 2),
    }


def _difference(proposed: Watch, live: Watch) -> dict[str, Any]:
    more = _only(proposed, live)
    fewer = _only(live, proposed)
    return {
        "same": len(proposed.triggers.keys() & live.triggers.keys()),
        "more": more,
        "fewer": fewer,
        "is_same": not more and not fewer,
    }


def _only(one: Watch, other: Watch) -> dict[str, Any]:
    found: dict[str, list[str]] = {}
    for trigger in one.triggers.keys() - other.triggers.keys():
        rule, customer, _ = one.triggers[trigger]
        found.setdefault(rule, []).append(customer)
    return {
        rule: {"count": len(who), "who": sorted(set(who) - one.gone)[:SAMPLE_MAX]}
        for rule, who in sorted(found.items())
    }
