"""All rule files become one RuleSet, indexed by event type, or all mistakes of all files."""

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from engine.errors import RulesError
from engine.events.contract import Contracts
from engine.profile.apply import Plan, plan_of
from engine.profile.logs.exact import Columns, joined
from engine.profile.things.tally import SPREAD, Tallied
from engine.rules.check import UNTESTED, check_groups, check_tallies
from engine.rules.expression.compile import Reads
from engine.rules.listeners import Listener, Listeners, listeners_of
from engine.rules.model import Rule, Segment
from engine.rules.movers import ages, arming, movers, movers_of, reads_of
from engine.rules.parse import parse_rule
from engine.rules.parts.shared import NOTHING, Shared, is_shared, parse_shared
from engine.rules.parts.when import TRANSITIONS
from engine.rules.sentence import Sentences
from engine.rules.text.problems import Problem, bounded, report


class Read(NamedTuple):
    """A rule file of a set, and what it gave: its rule, what was noted about it."""

    text: str
    rule: Rule
    noted: tuple[Problem, ...]


class Files(msgspec.Struct, frozen=True):
    """The files that a set was made of, by path: the next one reads only what is new in it."""

    shared: Mapping[str, str] = {}
    rules: Mapping[str, Read] = {}

    @property
    def texts(self) -> dict[str, str]:
        """Return the text of each file, by path."""
        return {**self.shared, **{path: read.text for path, read in self.rules.items()}}


class RuleSet(msgspec.Struct, frozen=True):
    """Every rule of one version. `columns`: what the logs must keep, by event type.

    `tallies`: what a thing counts by day. `listeners`: kind of actor -> event type -> the rules
    that it concerns. `goals`: event types that some rule has as its goal, also one that acts no
    more. `scheduled`: rules that begin with a date or a silence; `arming`: event type -> those of
    them that it may arm anew, `always`: those that any other may. `plans`: what each event type
    that has a contract does to a profile.
    """

    version: str
    contracts: Contracts
    rules: Mapping[str, Rule] = {}
    columns: Mapping[str, Columns] = {}
    listeners: Mapping[str, Mapping[str, Listeners]] = {}
    goals: frozenset[str] = frozenset()
    scheduled: tuple[Rule, ...] = ()
    arming: Mapping[str, tuple[Rule, ...]] = {}
    always: tuple[Rule, ...] = ()
    warnings: tuple[Problem, ...] = ()
    plans: Mapping[str, Plan] = {}
    shared: Shared = NOTHING
    segments: tuple[Segment, ...] = ()  # those that some rule waits for
    looks_daily: bool = False  # at the segments of everybody
    leaving: tuple[str, ...] = ()  # segments whose members are looked at daily
    tallies: Mapping[tuple[str, str], Tallied] = {}
    files: Files = Files()


def compile_rules(
    rules: Mapping[str, str],
    contracts: Contracts,
    *,
    version: str,
    before: RuleSet | None = None,
    between: Callable[[], object] = tuple,
    is_published: bool = False,
) -> RuleSet:
    """Return the rule set of some files, by path.

    `before`: another version; what it made of a file is taken over where nothing that it was made
    of has changed: the text, any file that rules share, and the very same `contracts`. `between`:
    called after each file that was read, for who has other things to do. `is_published`: it stands
    in the log, so some release has checked it. What this one would refuse for its sense alone is
    run as it was, for customers wait in it; what cannot be read is refused all the same.

    Raises
    ------
    RulesError
        Its text and `problems` have every mistake of every file.
    """
    problems: list[Problem] = []
    found: dict[str, Rule] = {}
    texts = {path: text for path, text in rules.items() if is_shared(text)}
    try:
        shared = parse_shared(texts, contracts, problems, is_published=is_published)
    except RulesError as error:
        shared = NOTHING
        problems += [p for p in error.problems if isinstance(p, Problem)]
    known: Mapping[str, Read] = {}
    if before is not None and before.contracts is contracts and before.files.shared == texts:
        known = before.files.rules
    files: dict[str, Read] = {}
    for path, text in sorted(rules.items()):
        if path in texts:
            continue
        read = known.get(path)
        if read is None or read.text != text:
            read = _read(path, text, contracts, shared, problems, is_published=is_published)
            between()
        if read is None:
            continue
        files[path], rule = read, read.rule
        problems += read.noted
        if rule.id in found:
            message = f"rule '{rule.id}' stands in {found[rule.id].path} too"
            problems.append(Problem(path, 1, 1, 1, "R128", message, "give it another name"))
            continue
        found[rule.id] = rule
    problems += check_tallies(found)
    errors = [p for p in problems if p.level == "error"]
    if errors:
        raise RulesError(report(errors, dict(rules)), problems=tuple(errors), texts=rules)
    if not is_published:
        problems += check_groups(found, rules)
    made = index(found, contracts, version=version, warnings=tuple(problems), shared=shared)
    return replace(made, files=Files(texts, files))


def _read(
    path: str,
    text: str,
    contracts: Contracts,
    shared: Shared,
    problems: list[Problem],
    *,
    is_published: bool,
) -> Read | None:
    """Return what a rule file gives; None, with its problems told, where it gives no rule."""
    try:
        rule, noted = parse_rule(path, text, contracts, shared, is_published=is_published)
    except RulesError as error:
        problems += [p for p in error.problems if isinstance(p, Problem)]
        return None
    noted = bounded(noted)
    if rule is not None:
        return Read(text, _settled(rule, contracts), tuple(noted))
    problems += noted
    return None


def unfit(rules: RuleSet) -> list[Problem]:
    """Return what keeps live rules from being published, as errors: those without their tests.

    A rule set in the log may hold such rules all the same: a worker must run what it was given, and
    who tries the engine on a rule of five lines (`engine up`) needs no test yet.
    """
    live = {rule.path for rule in rules.rules.values() if rule.status == "live"}
    return [
        problem._replace(level="error")
        for problem in rules.warnings
        if problem.code == UNTESTED and problem.path in live
    ]


def index(
    rules: Mapping[str, Rule],
    contracts: Contracts,
    *,
    version: str,
    warnings: tuple[Problem, ...] = (),
    shared: Shared = NOTHING,
) -> RuleSet:
    """Return the rule set of some rules: those that are paused or drafts do not listen."""
    awake = sorted(
        (r for r in rules.values() if r.status in ("live", "shadow")),
        key=lambda r: (-r.priority, r.id),
    )
    steps: dict[tuple[str, str], list[Listener]] = {}
    absent: dict[tuple[str, str], list[Rule]] = {}
    cancels: dict[tuple[str, str], list[Rule]] = {}
    for rank, rule in enumerate(awake):
        places: dict[str, list[int]] = {}
        for place, step in enumerate(rule.steps):
            places.setdefault(step.event, []).append(place)
        for event, taken in places.items():
            # The latest step first: an event must not start a match and continue it at once.
            listener = Listener(rank, rule, tuple(reversed(taken)))
            steps.setdefault((rule.key, event), []).append(listener)
        if rule.absent is not None:
            absent.setdefault((rule.key, rule.absent.event), []).append(rule)
        for event in sorted({step.event for step in rule.cancels}):
            cancels.setdefault((rule.key, event), []).append(rule)
    listeners: dict[str, dict[str, Listeners]] = {}
    for key in sorted(steps.keys() | absent.keys() | cancels.keys()):
        found = listeners_of(steps.get(key, []), absent.get(key, []), cancels.get(key, []))
        listeners.setdefault(key[0], {})[key[1]] = found
    segments = _awaited(awake, shared, contracts)
    scheduled = tuple(rule for rule in awake if rule.schedule is not None)
    moved = {rule.id: arming(rule, contracts) for rule in scheduled}
    reads = [each for rule in awake for each in reads_of(rule)]
    reads += [segment.condition.reads for segment in segments]
    return RuleSet(
        version=version,
        contracts=contracts,
        rules=rules,
        columns=joined(each.columns for each in reads),
        listeners=listeners,
        goals=frozenset(r.goal.event for r in rules.values() if r.goal and r.status != "draft"),
        scheduled=scheduled,
        arming={
            event: tuple(r for r in scheduled if (types := moved[r.id]) is None or event in types)
            for event in sorted(frozenset().union(*(types or () for types in moved.values())))
        },
        always=tuple(rule for rule in scheduled if moved[rule.id] is None),
        warnings=warnings,
        plans={name: plan_of(name, contract) for name, contract in contracts.by_name.items()},
        shared=shared,
        segments=segments,
        looks_daily=any(segment.daily == "everybody" for segment in segments),
        leaving=tuple(segment.name for segment in segments if segment.daily == "members"),
        tallies=_tallies(awake),
    )


def _tallies(rules: list[Rule]) -> dict[tuple[str, str], Tallied]:
    """Return, by (kind of thing, event type), what its days must have for any of some rules."""
    found: dict[tuple[str, str], Tallied] = {}
    for rule in rules:
        for reads in reads_of(rule):
            for event, wanted in reads.tallies.items():
                known = found.get((rule.key, event), Tallied())
                found[rule.key, event] = Tallied(
                    tuple(sorted({*known.sums, *wanted.sums})),
                    tuple(sorted({*known.distinct, *wanted.distinct})),
                    tuple(sorted({*known.spread, *wanted.spread})),
                )
    return found


def _awaited(rules: list[Rule], shared: Shared, contracts: Contracts) -> tuple[Segment, ...]:
    """Return the segments that some rules wait for; a step without a name waits for all."""
    names: set[str] = set()
    for rule in rules:
        for step in rule.steps:
            if step.event in TRANSITIONS.values():
                pins = {} if step.where is None else step.where.reads.pins
                names.update(pins.get("segment", shared.segments.keys()))
    found = (shared.segments[name] for name in sorted(names & shared.segments.keys()))
    return tuple(
        replace(each, moved_by=_moved_by(each, contracts), ages=ages(each.condition.reads))
        for each in found
    )


def _moved_by(segment: Segment, contracts: Contracts) -> frozenset[str] | None:
    """Return the event types after which a segment is to be looked at, None: any."""
    found, zone = movers(segment.condition.reads, contracts), movers_of(("zone",), contracts)
    if found is None or zone is None:
        return None
    return found if segment.daily == "never" else found | zone  # which says when it is nine


def without(rules: RuleSet, names: Collection[str]) -> RuleSet:
    """Return a rule set in which some rules sleep; what the logs keep for them stays the same."""
    asleep = {
        name: rule.with_status("paused") if name in names else rule
        for name, rule in rules.rules.items()
    }
    rest = index(asleep, rules.contracts, version=rules.version)
    return replace(rest, columns=rules.columns, warnings=rules.warnings)


def _settled(rule: Rule, contracts: Contracts) -> Rule:
    """Return a rule with all that follows from its parts, worked out once."""
    found = reads_of(rule)
    return replace(
        rule,
        keeps=_keeps(rule, found),
        sketched=frozenset(
            (event, name)
            for reads in found
            for event, wanted in reads.tallies.items()
            for name in (*wanted.distinct, *(SPREAD + name for name in wanted.spread))
        ),
        sentence=Sentences(rule, contracts),
        is_simple=len(rule.steps) == 1 and rule.steps[0].times == 1,
    )


def _keeps(rule: Rule, reads: list[Reads]) -> dict[str, tuple[str, ...]]:
    """Return, by event type, the fields that anything in the rule reads."""
    steps = [*rule.steps, *([] if rule.absent is None else [rule.absent]), *rule.cancels]
    types = {step.alias: step.event for step in steps}
    found: dict[str, set[str]] = {}
    for each in reads:
        for alias, name in each.fields:
            if alias in types:
                found.setdefault(types[alias], set()).add(name)
    return {event: tuple(sorted(names)) for event, names in sorted(found.items())}
