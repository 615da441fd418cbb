"""When a rule comes true: its steps, what must not happen, what calls it off, or a date."""

import re
from collections.abc import Mapping

import msgspec

from engine.events.contract import Contracts
from engine.rules.expression.compile import Condition, Value, compile_condition, compile_value
from engine.rules.expression.meaning import may_be_unknown
from engine.rules.model import Doubts, Schedule, Step
from engine.rules.scopes import FACTS, RESERVED, Scopes
from engine.rules.text.reader import Reader, nearest
from engine.rules.text.source import Node
from engine.rules.text.values import minutes_of_day

TRANSITIONS = {"entered": "segment.entered", "left": "segment.left"}
STEPS: Mapping[str, tuple[str, ...]] = {  # kind of step -> the keys that it may have
    "event": ("event", "as", "where", "times", "within"),
    "not": ("not", "as", "where", "within"),
    "unless": ("unless", "as", "where"),
    "entered": ("entered", "as"),
    "left": ("left", "as"),
    "schedule": ("schedule",),
}
STEP = tuple(dict.fromkeys(key for keys in STEPS.values() for key in keys))
DATE = ("date", "before", "at", "every")
SILENCE = ("silence", "of", "at")
WEEKLY = ("every", "at")
EVERY = ("year", "once")
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
DAYS = {**{day: (n,) for n, day in enumerate(WEEKDAYS, 1)}, "day": tuple(range(1, 8))}
_ALIAS = re.compile(r"[a-z][a-z0-9_]*")
STEPS_MAX = 6
CANCELS_MAX = 4
TIMES_MAX = 100
NINE = 540  # minutes of the local day


class Pattern(msgspec.Struct, frozen=True, gc=False):
    """What a rule waits for. `trigger`: alias of the last positive step: `event` in conditions."""

    schedule: Schedule | None
    steps: tuple[Step, ...]
    absent: Step | None
    cancels: tuple[Step, ...]
    trigger: str


def parse_pattern(reader: Reader, root: Node, scopes: Scopes, contracts: Contracts) -> Pattern:
    """Return the pattern of a rule as far as it can be read; mistakes go to the reader."""
    return _When(reader, root, scopes, contracts).pattern()


def parse_condition(
    reader: Reader, node: Node, name: str, scopes: Scopes, *, trigger: str
) -> Condition | None:
    """Return the condition under a key, None where there is none or it has mistakes."""
    value = reader.child(node, name)
    if value is None:
        return None
    scope = scopes.scope()
    return reader.expression(value, lambda text: compile_condition(text, scope, trigger=trigger))


def event_named(reader: Reader, node: Node, key: str, contracts: Contracts) -> str:
    """Return the event type that a key names; a near miss counts as what was meant.

    So does its title, in Chinese or English: that is what people call it.
    """
    event = reader.text(node, key)
    if contracts.get(event) is None:
        by_title = {title: c.name for c in contracts.by_name.values() for title in c.title.values()}
        near = f'did you mean "{by_title[event]}"?' if event in by_title else ""
        near = near or nearest(event, contracts.by_name)
        reader.add(node.pairs[key][1], "E231", f"unknown event type '{event}'", near)
        return near.split('"')[1] if near else event
    return event


def _doubts(where: Condition | None, event: str, alias: str, contracts: Contracts) -> Doubts | None:
    """Return what may leave a step's `where` unknown, None if nothing may."""
    if where is None:
        return None
    reads, contract = where.reads, contracts.get(event)
    fields = contract.fields if contract is not None else {}
    own = {name for step, name in reads.fields if step == alias}
    of_others = len(own) < len(reads.fields)
    worked_out = {name for name in reads.profile if getattr(FACTS.get(name), "read", None)}
    doubts = Doubts(
        fields=frozenset(n for n in own if n not in fields or fields[n].type.optional),
        traits=frozenset(reads.profile - worked_out),
        features=reads.features,
        others=bool(worked_out or of_others or may_be_unknown(where.meaning)),
    )
    return None if doubts == Doubts() else doubts


class _When:
    def __init__(self, reader: Reader, root: Node, scopes: Scopes, contracts: Contracts) -> None:
        self.reader = reader
        self.root = root
        self.scopes = scopes
        self.contracts = contracts
        self.schedule: Schedule | None = None
        self.steps: list[Step] = []
        self.absent: Step | None = None
        self.cancels: list[Step] = []
        self.trigger = "event"

    def pattern(self) -> Pattern:
        nodes = self.reader.items(self.root, "when")
        if not nodes and (key := self.root.pairs.get("when")) is not None:
            self.reader.add(key[0], "R102", "'when' has no step", "such as - event: cart.updated")
        if len(nodes) > STEPS_MAX + CANCELS_MAX:
            self.reader.add(nodes[STEPS_MAX], "R122", f"a rule has at most {STEPS_MAX} steps")
        for index, node in enumerate(nodes[: STEPS_MAX + CANCELS_MAX]):
            if self.reader.keys(node, STEP):
                self.part(node, index)
        steps, cancels = tuple(self.steps), tuple(self.cancels)
        return Pattern(self.schedule, steps, self.absent, cancels, self.trigger)

    def part(self, node: Node, index: int) -> None:
        reader = self.reader
        kind = next((name for name in STEPS if name in node.pairs), None)
        for name, (key, _) in node.pairs.items():
            if kind is not None and name in STEP and name not in STEPS[kind]:
                hint = "it has " + ", ".join(STEPS[kind][1:]) if STEPS[kind][1:] else ""
                reader.add(key, "R101", f"'{kind}' has no '{name}'", hint)
        if "unless" in node.pairs:
            self.cancels.append(self.cancel(node))
            return
        if self.absent is not None:
            reader.add(node, "R116", "'not' is the last step of a rule")
        if "schedule" in node.pairs:
            if index:
                reader.add(node, "R117", "'schedule' is the first step, or none")
            self.schedule = self.date(node.pairs["schedule"][1])
        elif "not" in node.pairs:
            if not self.steps and self.schedule is None:
                hint = "for customers who do nothing at all use schedule:"
                reader.add(node, "R118", "'not' needs a step before it", hint)
            self.absent = self.missing(node)
        elif found := [name for name in TRANSITIONS if name in node.pairs]:
            self.steps.append(self.transition(node, found[0], index))
        elif "event" in node.pairs:
            if self.schedule is not None:
                hint = "behind a date there is at most one 'not'"
                reader.add(node, "R117", "an event cannot follow 'schedule'", hint)
            if len(self.steps) == STEPS_MAX:
                reader.add(node, "R122", f"a rule has at most {STEPS_MAX} steps")
            self.steps.append(self.step(node, index))
        else:
            reader.add(node, "R102", "'event', 'not', 'unless' or 'schedule' is missing")

    def step(self, node: Node, index: int) -> Step:
        reader = self.reader
        event, alias = self.named(node, "event"), self.alias(node, f"step{index}")
        times = reader.whole(node, "times", 1, 1, TIMES_MAX)
        within = reader.length(node, "within")
        if within is None and times > 1 and "within" not in node.pairs:
            hint = "such as within: 10m"
            reader.add(node.pairs["times"][0], "R119", "'times' needs 'within'", hint)
        self.scopes.see(alias, event)
        where = self.condition(node, alias)
        self.trigger = alias
        return Step(
            event=event,
            alias=alias,
            where=where,
            times=times,
            within_ms=within,
            doubts=_doubts(where, event, alias, self.contracts),
        )

    def transition(self, node: Node, name: str, index: int) -> Step:
        """Read `entered: SEGMENT` or `left: SEGMENT`."""
        reader, event = self.reader, TRANSITIONS[name]
        segment, known = reader.text(node, name), self.scopes.shared.segments
        if segment not in known:
            place = node.pairs[name][1]
            hint = nearest(segment, known) or "segments stand in a file of their own"
            reader.add(place, "R145", f"there is no segment '{segment}'", hint)
        alias = self.alias(node, f"step{index}")
        self.scopes.see(alias, event)
        self.trigger = alias
        scope = self.scopes.scope()
        text = f'event.segment == "{segment}"'
        where = compile_condition(text, scope, trigger=alias) if segment in known else None
        doubts = _doubts(where, event, alias, self.contracts)
        return Step(event, alias, where, doubts=doubts)

    def missing(self, node: Node) -> Step:
        """Read `not: .. within: ..`; the length may be computed: `within: "{{ .. }}"`."""
        reader = self.reader
        event, alias = self.named(node, "not"), self.alias(node, "absent")
        value = reader.child(node, "within")
        within: int | None = None
        computed: Value | None = None
        if value is None:
            reader.add(node.pairs["not"][1], "R119", "'not' needs 'within'", "such as within: 30m")
        elif value.text.strip().startswith("{{"):
            computed = self.length(value)
        else:
            within = reader.length(node, "within")
        where = self.unseen(node, alias, event)
        return Step(event, alias, where, 1, within, computed)

    def cancel(self, node: Node) -> Step:
        """Read `unless: ..`: what calls the rule off from its first step until it acts."""
        event, alias = self.named(node, "unless"), self.alias(node, f"unless{len(self.cancels)}")
        if len(self.cancels) == CANCELS_MAX:
            self.reader.add(node, "R122", f"a rule has at most {CANCELS_MAX} 'unless'")
        return Step(event, alias, self.unseen(node, alias, event))

    def unseen(self, node: Node, alias: str, event: str) -> Condition | None:
        """Return the `where` of what did not happen: no later part may name its fields."""
        self.scopes.see(alias, event)
        where = self.condition(node, alias)
        self.scopes.hide(alias)
        return where

    def condition(self, node: Node, alias: str) -> Condition | None:
        return parse_condition(self.reader, node, "where", self.scopes, trigger=alias)

    def length(self, node: Node) -> Value | None:
        text = node.text
        start, end = text.index("{{") + 2, text.rfind("}}")
        hint = 'such as "{{ promise.issue == "refund" ? 48m : 19h }}"'
        if end < start or text[end + 2 :].strip():
            self.reader.add(node, "R110", f"'{text}' is not a length of time", hint)
            return None
        line, column = node.place(start)
        inner = Node("text", line, column, text[start:end], "", text[start:end])
        scope = self.scopes.scope()
        value = self.reader.expression(
            inner, lambda found: compile_value(found, scope, trigger=self.trigger)
        )
        if value is not None and value.type.base != "duration":
            self.reader.add(inner, "R110", "this does not make a length of time", hint)
        return value

    def named(self, node: Node, key: str) -> str:
        return event_named(self.reader, node, key, self.contracts)

    def alias(self, node: Node, default: str) -> str:
        alias = self.reader.text(node, "as") or default
        if "as" in node.pairs:
            place = node.pairs["as"][1]
            if not _ALIAS.fullmatch(alias) or alias in RESERVED:
                hint = "write a word, such as cart"
                self.reader.add(place, "R114", f"'{alias}' is no name", hint)
            elif alias in self.scopes.aliases:
                self.reader.add(place, "R128", f"another step is called '{alias}' already")
        return alias

    def date(self, value: Node) -> Schedule | None:
        """Read a date of the profile, or a silence."""
        reader = self.reader
        if "silence" in value.pairs:
            return self.silence(value)
        if value.kind == "text" or ("every" in value.pairs and "date" not in value.pairs):
            return self.weekly(value)
        if not reader.keys(value, DATE, ("date",)):
            return None
        fact = reader.text(value, "date").removeprefix("profile.")
        known = self.scopes.profile.get(fact)
        place = reader.child(value, "date") or value
        if known is None:
            hint = nearest(fact, self.scopes.profile)
            reader.add(place, "E204", f"the profile has no '{fact}'", hint)
        elif known.base not in ("string", "time"):
            hint = "such as profile.birthday"
            reader.add(place, "E211", f"'{fact}' is no date", hint)
        at = reader.scalar(value, "at", minutes_of_day, 'write "09:00"')
        every = reader.choice(value, "every", EVERY, "year")
        before = reader.length(value, "before") or 0
        return Schedule(fact, NINE if at is None else at, before, every == "year")

    def weekly(self, value: Node) -> Schedule | None:
        """Read `every: monday`, a list of days, or `every: day`; at a local time of day."""
        reader = self.reader
        hint = 'such as schedule: {every: monday, at: "09:00"}'
        if value.kind == "text":
            reader.add(value, "R113", f"'{value.text}' cannot be read as schedule", hint)
            return None
        if not reader.keys(value, WEEKLY):
            return None
        days: set[int] = set()
        for item in reader.items(value, "every"):
            if item.text not in DAYS:
                near = nearest(item.text, DAYS) or "one of " + ", ".join(DAYS)
                reader.add(item, "R111", f"'{item.text}' is no weekday", near)
            days.update(DAYS.get(item.text, ()))
        at = reader.scalar(value, "at", minutes_of_day, 'write "09:00"')
        if not days:
            return None
        minutes = NINE if at is None else at
        return Schedule(fact="", at_minutes=minutes, weekdays=tuple(sorted(days)))

    def silence(self, value: Node) -> Schedule | None:
        """Read `silence: 30d`: nothing from the customer, or nothing `of` one type, for so long."""
        reader = self.reader
        if not reader.keys(value, SILENCE):
            return None
        event = self.named(value, "of") if "of" in value.pairs else ""
        at = reader.scalar(value, "at", minutes_of_day, 'write "09:00"')
        ours = {c.name for c in self.contracts.by_name.values() if c.by == "us"}
        return Schedule(
            fact="",
            at_minutes=-1 if at is None else at,
            silent_ms=reader.length(value, "silence") or 0,
            event=event,
            ours=frozenset(ours),
        )
