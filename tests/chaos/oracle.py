"""What a log must have led to, worked out with plain dicts: identity, counts, three rules.

Shares no code with the engine. It reads the final records of `channel.events`, partition by
partition, plays the actors of IDENTITY.md, and says what every node, timer, registrar's entry,
dead letter, message and trigger must be. What a record says is believed, that it was sent is not:
all that is sent is compared with what was to be sent.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import orjson

from tests.chaos.oracle_rules import Memory, big_order, come_up, left_cart, stopped, thanks

MINE, CLAIMED = 3, 1
PERIOD_MS = 30 * 86_400_000
AHEAD_MS = 300_000
REFUSALS = 5
CAPS = {"u": 1, "p": 5, "e": 5, "d": 20, "a": 20}
CHANNEL = {
    "order.placed": "web",
    "cart.updated": "web",
    "review.posted": "web",
    "web.page_viewed": "web",
    "delivery.sent": "receipt",
}
CONTROL = frozenset("tick ruleset model claim absorb mi ref cmp quar".split())
TENANT = "demo"


@dataclass
class Live:
    """A person, as this log knows them."""

    seen: dict[str, int] = field(default_factory=dict)
    ring: set[str] = field(default_factory=set)
    shared: bool = False
    orders: int = 0
    total: int = 0
    touches: Counter[str] = field(default_factory=Counter)
    memory: Memory = field(default_factory=Memory)


@dataclass
class Sign:
    """A signpost."""

    fwd: str
    own: str = ""
    shared: bool = False


@dataclass
class Root:
    """A person at the registrar."""

    members: list[str]
    refusals: dict[str, int] = field(default_factory=dict)


@dataclass
class Part:
    """One partition: where it stands, who lives in it, what has left it."""

    index: int
    now: int = 0
    passed: int = 0
    off: int = -1
    src: dict[int, int] = field(default_factory=dict)
    nodes: dict[str, Live | Sign] = field(default_factory=dict)
    entries: dict[str, Root | str] = field(default_factory=dict)
    triggers: list[tuple[Any, ...]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def due(self) -> list[tuple[int, str]]:
        """Return (score, node) of all timers."""
        return sorted(
            (node.memory.score, name)
            for name, node in self.nodes.items()
            if isinstance(node, Live) and node.memory.score is not None
        )


class Waits(Exception):
    """A state that is to move in has not left its old place yet: other partitions come first."""


class Oracle:
    """Plays all partitions. `sent`: (from, to) -> messages in order; `letters`: place -> reason."""

    def __init__(self, logs: list[list[Any]]) -> None:
        self.count = len(logs)
        self.parts = [Part(index) for index in range(self.count)]
        self.sent: dict[tuple[int, int], list[tuple[Any, ...]]] = defaultdict(list)
        self.letters: dict[str, str] = {}
        self.aliases: set[tuple[str, str]] = set()
        self.applied: Counter[str] = Counter()
        self.routed = 0  # events that came to where their person was believed to be
        self._logs = logs
        self._moving: dict[str, Live] = {}

    def play(self) -> "Oracle":
        """Play all logs to their ends."""
        places = [0] * self.count
        while True:
            before = list(places)
            for part, log in zip(self.parts, self._logs, strict=True):
                try:
                    while places[part.index] < len(log):
                        self._record(part, log[places[part.index]])
                        places[part.index] += 1
                except Waits:
                    continue
            if places == before:
                break
        stuck = [p for p, log in enumerate(self._logs) if places[p] < len(log)]
        assert not stuck, f"states move in that have never left: partitions {stuck}"
        return self

    def _record(self, part: Part, record: Any) -> None:
        headers = dict(record.headers)
        kind = headers.get("kind", b"event").decode()
        if reason := _unreadable(kind, headers, record):
            part.off = record.offset
            self.letters[f"channel.events:{part.index}:{record.offset}"] = reason
            part.counts["dead"] += 1
            return
        body = orjson.loads(record.value) if kind != "mi" else _moved(record.value)
        if "src" in headers:
            source, mseq = int(headers["src"]), int(headers["mseq"])
            if mseq <= part.src.get(source, 0):
                part.off = record.offset
                return
            if kind == "mi" and body["absorbed"] not in self._moving:
                raise Waits
            part.src[source] = mseq
        part.off = record.offset
        step = getattr(self, f"_{kind}")
        step(part, record.key.decode(), body, headers)

    def _tick(self, part: Part, _: str, body: Any, __: Any) -> None:
        part.now = max(part.now, body["now"])
        part.passed = max(part.passed, body["passed"])
        while (due := part.due()) and due[0][0] <= part.passed:
            name = due[0][1]
            node = part.nodes[name]
            assert isinstance(node, Live) and node.memory.score is not None
            at, node.memory.score = node.memory.score, None
            if not node.shared:
                part.triggers += come_up(node.memory, at, name, now=part.now, passed=part.passed)

    def _ruleset(self, *_: Any) -> None:
        """There is one, and it comes before all events."""

    def _model(self, *_: Any) -> None:
        """No rule asks for scores."""

    def _send(self, part: Part, to: str, *what: Any) -> None:
        self.sent[part.index, crc32(to.encode()) % self.count].append((what[0], to, *what[1:]))

    # Nodes.

    def _event(self, part: Part, here: str, body: Any, headers: dict[str, bytes]) -> None:
        home, pr = body["ids"][0], int(headers.get("pr", 0))
        shared = "sh" in headers
        node = part.nodes.get(here)
        by_route = pr == 0 and here != home  # the front door believed that the person is here
        if isinstance(node, Sign):
            to = (node.own or node.fwd) if here == home else node.fwd
            shared = shared or (here == home and node.shared)
            self._send(part, to, "event", body["id"], 0 if by_route else pr + 1, shared)
            return
        if by_route:
            self.routed += 1
            if node is not None and node.seen.get(home) == MINE:
                self._apply(part, node, here, body, shared)
            else:
                self._send(part, home, "event", body["id"], 0, False)
            return
        if node is None:
            node = self._born(part, here)
        if here != home:
            node.seen[home] = MINE
            if pr > 1:
                self._send(part, home, "cmp", here)
        self._apply(part, node, here, body, shared or (node.shared and here == home))

    def _born(self, part: Part, here: str) -> Live:
        node = part.nodes[here] = Live()
        part.counts["customers"] += 1
        return node

    def _apply(self, part: Part, node: Live, here: str, body: Any, shared: bool) -> None:
        if body["id"] in node.ring:
            part.counts["duplicate"] += 1
            return
        node.ring.add(body["id"])
        self.applied[body["id"]] += 1
        part.counts["applied"] += 1
        at = min(body["at"], part.now + AHEAD_MS) if part.now else body["at"]
        self._claims(part, node, here, body["ids"], at)
        kind, value = body["type"], body["data"].get("value")
        node.touches[CHANNEL[kind]] += 1
        if kind == "order.placed":
            node.orders += 1
            node.total += value
            node.memory.bought(at)
        if shared:
            return
        if kind == "order.placed":
            stopped(node.memory, at, passed=part.passed)
            part.triggers += big_order(body["id"], at, value, here, now=part.now)
        elif kind == "review.posted":
            part.triggers += thanks(node.memory, body["id"], at, here, now=part.now)
        elif kind == "cart.updated":
            left_cart(node.memory, body["id"], at, passed=part.passed)

    def _claims(self, part: Part, node: Live, here: str, ids: list[str], at: int) -> None:
        names = []
        for name in ids:
            level = node.seen.get(name)
            again = level is not None and level <= 0 and at // PERIOD_MS > -level
            if name not in (here, ids[0]) and (level is None or again):
                node.seen[name] = CLAIMED
                names.append(name)
        if names:
            self._send(part, "R", "claim", here, tuple(names))

    def _absorb(self, part: Part, here: str, body: Any, _: Any) -> None:
        node = part.nodes.get(here)
        if isinstance(node, Sign):
            return
        if node is not None:
            self._moving[here] = node
            part.counts["customers"] -= 1
            self._send(part, body["winner"], "mi", here, body["forced"])
        part.nodes[here] = Sign(body["winner"], shared=body["shared"])
        self.aliases.add((here, body["winner"]))

    def _mi(self, part: Part, here: str, body: Any, _: Any) -> None:
        node = part.nodes.get(here)
        if isinstance(node, Sign):
            self._send(part, node.fwd, "mi", body["absorbed"], body["forced"])
            return
        if node is None:
            node = self._born(part, here)
        other = self._moving[body["absorbed"]]
        for name, level in other.seen.items():
            node.seen[name] = max(level, node.seen.get(name, level))
        node.seen[body["absorbed"]] = MINE
        node.ring |= other.ring
        node.orders += other.orders
        node.total += other.total
        node.touches += other.touches
        node.memory.take_in(other.memory)
        part.triggers.append(("merged", here, body["absorbed"], part.now, body["forced"]))

    def _ref(self, part: Part, here: str, body: Any, _: Any) -> None:
        node = part.nodes.get(here)
        if isinstance(node, Sign):
            self._send(part, node.fwd, "ref", body["name"])
        elif node is not None and node.seen.get(body["name"], MINE) != MINE:
            period = part.now // PERIOD_MS
            node.seen[body["name"]] = -period
            # What was refused in an earlier period may be asked for again, and is forgotten.
            node.seen = {x: n for x, n in node.seen.items() if n > 0 or -n >= period}

    def _cmp(self, part: Part, here: str, body: Any, _: Any) -> None:
        node = part.nodes.get(here)
        if isinstance(node, Sign) and body["root"] < (node.own or node.fwd):
            node.own = body["root"]
            self.aliases.add((here, body["root"]))

    def _quar(self, part: Part, here: str, _: Any, __: Any) -> None:
        node = part.nodes.get(here)
        if node is not None:
            node.shared = True

    # The registrar.

    def _claim(self, part: Part, _: str, body: Any, __: Any) -> None:
        for name in body["names"]:
            self._decide(part, body["by"], name)

    def _decide(self, part: Part, by: str, name: str) -> None:
        entries = part.entries

        def root(x: str) -> str:
            entry = entries.get(x)
            return entry if isinstance(entry, str) else x

        def person(x: str) -> Root:
            entry = entries.get(x)
            assert not isinstance(entry, str)
            return entry or Root([x])

        a, b = root(by), root(name)
        if a == b:
            return
        mine, theirs = person(a), person(b)
        types = Counter(x[1] for x in (*mine.members, *theirs.members))
        both = {x[1] for x in mine.members} & {x[1] for x in theirs.members}
        refusals = theirs.refusals.get(name, 0)
        if any(types[letter] > CAPS[letter] for letter in both) or refusals >= REFUSALS:
            weak = name[0] != "0" and len(theirs.members) > 1
            self._send(part, by, "ref", name)
            if weak:
                theirs.refusals[name] = min(refusals + 1, REFUSALS + 1)
                entries[b] = theirs
                if refusals + 1 == REFUSALS:
                    self._send(part, name, "quar")
            return
        winner, loser = min(a, b), max(a, b)
        kept, gone = (mine, theirs) if winner == a else (theirs, mine)
        for member in gone.members:
            entries[member] = winner
        kept.members = sorted(kept.members + gone.members)
        for x, n in gone.refusals.items():
            kept.refusals[x] = kept.refusals.get(x, 0) + n
        entries[winner] = kept
        self._send(part, loser, "absorb", winner, gone.refusals.get(loser, 0) >= REFUSALS)


def _moved(value: bytes) -> dict[str, Any]:
    """Return a message's fields without the state in it, which is the engine's own affair."""
    body = orjson.loads(value)
    return {"absorbed": body["absorbed"], "forced": body.get("forced", False)}


def _unreadable(kind: str, headers: dict[str, bytes], record: Any) -> str:
    """Return why a record can only be a dead letter, '' for all others."""
    if kind != "event":
        if kind not in CONTROL:
            return "control/kind"
        return "control/mac" if headers.get("mac") == b"0" * 16 else ""
    try:
        body = orjson.loads(record.value)
    except orjson.JSONDecodeError:
        return "log/unreadable"
    if not body["ids"]:
        return "identity/missing"
    return "log/poison" if isinstance(body["data"].get("value"), str) else ""
