"""What is there at the end, held against the oracle, the load and the channel systems."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from zlib import crc32

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from engine.identity.node import Tombstone
from engine.identity.registrar import Root as StoredRoot
from engine.pipeline.state import decode_entry, decode_node
from tests.chaos.channels import RULES, Channels
from tests.chaos.load import TENANT, Load, birth_id, homes
from tests.chaos.oracle import Live, Oracle, Part, Sign
from tests.chaos.town import PARTITIONS, QUIET, Town

READ_S = 60.0


class Read(NamedTuple):
    """A record as it is in the log."""

    offset: int
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


def read_topic(bootstrap: str, topic: str, partitions: int) -> list[list[Read]]:
    """Return all records of a topic, by partition, with a client that is not the engine's."""
    consumer = Consumer({**QUIET, "bootstrap.servers": bootstrap, "enable.partition.eof": True})
    every = range(partitions)
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in every])
    found: list[list[Read]] = [[] for _ in every]
    ended: set[int] = set()
    while len(ended) < partitions:  # not by offsets: the last may be the end of a transaction
        message = consumer.poll(READ_S)
        assert message is not None, f"{topic}: nothing comes for {READ_S:g} s, not even an end"
        if (error := message.error()) is not None:
            assert error.code() == KafkaError._PARTITION_EOF, error
            ended.add(message.partition())
            continue
        found[message.partition()].append(
            Read(message.offset(), message.key() or b"", message.value() or b"",
                 message.headers() or [])
        )  # fmt: skip
    consumer.close()
    return found


@dataclass
class Found:
    """What is wrong, in words, of three kinds; and how much there was."""

    lost: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    wrong_states: list[str] = field(default_factory=list)
    applied: int = 0
    triggers: int = 0
    merges: int = 0
    refusals: int = 0
    routed: int = 0
    repeated: int = 0

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.lost or self.duplicates or self.wrong_states)


def compare(town: Town, load: Load, channels: Channels) -> Found:
    """Replay the final log, and hold everything against it."""
    bootstrap = town.settings.kafka_bootstrap
    logs = read_topic(bootstrap, "channel.events", PARTITIONS)
    oracle = Oracle(logs).play()
    found = Found(applied=sum(part.counts["applied"] for part in oracle.parts))
    found.merges = sum(t[0] == "merged" for part in oracle.parts for t in part.triggers)
    found.routed = oracle.routed
    found.refusals = sum(m[0] == "ref" for sent in oracle.sent.values() for m in sent)
    out = read_topic(bootstrap, "triggers", PARTITIONS)
    _inputs(found, oracle, load)
    _people(found, oracle, load, town.settings.secret_key)
    _triggers(found, oracle, out)
    _messages(found, oracle, logs)
    _letters(found, oracle, load, bootstrap)
    _states(found, oracle, town)
    _effects(found, oracle, channels, bootstrap)
    return found


def _inputs(found: Found, oracle: Oracle, load: Load) -> None:
    """Every event that a door has acknowledged was applied, and once."""
    for name, sent in load.sent.items():
        if not oracle.applied[name]:
            doors = ", ".join(sent.doors)
            found.lost.append(f"event {sent.message_id} of person {sent.person.number} ({doors})")
    found.duplicates += [f"event {name}, {n} times" for name, n in oracle.applied.items() if n > 1]


def _people(found: Found, oracle: Oracle, load: Load, secret: bytes) -> None:
    """Whoever has no rival is one person at the end, with all of their orders."""
    wanted: Counter[int] = Counter()
    totals: Counter[int] = Counter()
    for each in load.sent.values():
        if each.type == "Order Completed":
            wanted[each.person.number] += 1
            totals[each.person.number] += each.value
    for number, names in homes(iter(load.sent.values()), secret).items():
        person = load.people[number]
        if person.family:
            continue
        linked = _linked(load, number, secret)
        ends = {end for name in names if (end := _end(oracle, name)) is not None}
        if linked and len(ends) > 1:
            found.wrong_states.append(f"person {number} lives as {len(ends)}")
        lives = [oracle.parts[p].nodes[end] for p, end in ends]
        orders = sum(node.orders for node in lives if isinstance(node, Live))
        total = sum(node.total for node in lives if isinstance(node, Live))
        if (orders, total) != (wanted[number], totals[number]):
            found.wrong_states.append(
                f"person {number}: {orders} orders of {total}, want {wanted[number]} of "
                f"{totals[number]}"
            )


def _linked(load: Load, number: int, secret: bytes) -> bool:
    """Tell whether all identifiers of a person were named together, over some way."""
    groups: list[set[str]] = []
    for each in load.sent.values():
        if each.person.number != number:
            continue
        names = {birth_id(kind, value, secret) for kind, value in each.ids.items()}
        touched = [group for group in groups if group & names]
        groups = [group for group in groups if not group & names]
        groups.append(names.union(*touched))
    return len(groups) == 1


def _end(oracle: Oracle, name: str) -> tuple[int, str] | None:
    """Return (partition, node) where an identifier leads to."""
    while True:
        place = crc32(name.encode()) % oracle.count
        node = oracle.parts[place].nodes.get(name)
        if not isinstance(node, Sign):
            return None if node is None else (place, name)
        name = node.fwd


def _triggers(found: Found, oracle: Oracle, out: list[list[Read]]) -> None:
    """Numbers 1, 2, 3, ... without gap, equal numbers are equal bytes, and all is as told."""
    for part, records in zip(oracle.parts, out, strict=True):
        first: dict[int, bytes] = {}
        for record in records:
            number = int(dict(record.headers)["oseq"])
            found.repeated += number in first
            if first.setdefault(number, record.value) != record.value:
                found.duplicates.append(f"triggers/{part.index}: {number} has two values")
            elif first.keys() and number > 1 and number - 1 not in first:
                found.lost.append(f"triggers/{part.index}: {number} comes before {number - 1}")
        told = [_told(orjson.loads(value)) for _, value in sorted(first.items())]
        found.triggers += sum(item[0] == "trigger" for item in told)
        for number, (want, got) in enumerate(zip(part.triggers, told, strict=False), 1):
            if want != got:
                found.wrong_states.append(f"triggers/{part.index}: {number} is {got}, not {want}")
                break
        missing = len(part.triggers) - len(told)
        if missing > 0:
            found.lost.append(f"triggers/{part.index}: the last {missing}")
        elif missing < 0:
            found.duplicates.append(f"triggers/{part.index}: {-missing} too many")
    names = Counter(t[1] for part in oracle.parts for t in part.triggers if t[0] == "trigger")
    found.duplicates += [f"trigger {name}, made {n} times" for name, n in names.items() if n > 1]


def _told(item: dict[str, Any]) -> tuple[Any, ...]:
    if item["type"] == "merged":
        return ("merged", item["customer"], item["absorbed"], item["at"], item["conflict"])
    assert item["type"] == "trigger", item
    fields = ("id", "rule", "customer", "cause", "at", "decided_at")
    return ("trigger", *(item[name] for name in fields))


def _messages(found: Found, oracle: Oracle, logs: list[list[Read]]) -> None:
    """What the actors have said to each other, in order and once."""
    arrived: dict[tuple[int, int], dict[int, tuple[Any, ...]]] = defaultdict(dict)
    for place, log in enumerate(logs):
        for record in log:
            headers = dict(record.headers)
            if "src" in headers:
                way = int(headers["src"]), place
                arrived[way].setdefault(int(headers["mseq"]), _said(record, headers))
    for way in sorted(arrived.keys() | oracle.sent.keys()):
        got, want = list(arrived[way].values()), oracle.sent[way]
        if list(arrived[way]) != sorted(arrived[way]):
            found.wrong_states.append(f"messages {way[0]} to {way[1]} come in another order")
        if len(got) < len(want) and got == want[: len(got)]:
            found.lost.append(f"messages {way[0]} to {way[1]}: the last {len(want) - len(got)}")
        elif got != want:
            at = next((n for n, (g, w) in enumerate(zip(got, want, strict=False)) if g != w), -1)
            found.wrong_states.append(
                f"messages {way[0]} to {way[1]}: {at} is {got[at]}, not {want[at]}"
            )


def _said(record: Read, headers: dict[str, bytes]) -> tuple[Any, ...]:
    kind, to, body = headers["kind"].decode(), record.key.decode(), orjson.loads(record.value)
    if kind == "event":
        return (kind, to, body["id"], int(headers["pr"]), "sh" in headers)
    fields: dict[str, Callable[[], tuple[Any, ...]]] = {
        "claim": lambda: (body["by"], tuple(body["names"])),
        "absorb": lambda: (body["winner"], body["shared"]),
        "mi": lambda: (body["absorbed"], body["forced"]),
        "ref": lambda: (body["name"],),
        "cmp": lambda: (body["root"],),
        "quar": lambda: (),
    }
    return (kind, to, *fields[kind]())


def _letters(found: Found, oracle: Oracle, load: Load, bootstrap: str) -> None:
    """What nobody can read is told of, with its place and reason; and nothing else is."""
    want = dict(oracle.letters) | load.poison
    for place, log in enumerate(read_topic(bootstrap, "channel.inbox", PARTITIONS)):
        for record in log:
            if record.value == b"\x00{":
                want[f"channel.inbox:{place}:{record.offset}"] = "contract/json"
    got: dict[str, str] = {}
    for record in read_topic(bootstrap, "dead.events", 1)[0]:
        letter = orjson.loads(record.value)
        got[letter["id"]] = letter["reason"]
    for name in sorted(want.keys() - got.keys()):
        found.lost.append(f"dead letter {name} ({want[name]})")
    for name, reason in sorted(got.items()):
        if want.get(name) != reason:
            found.wrong_states.append(f"dead letter {name}: {reason}, not {want.get(name)}")
    aliases = {
        (alias["absorbed"], alias["customer"])
        for log in read_topic(bootstrap, "customer.aliases", PARTITIONS)
        for record in log
        if (alias := orjson.loads(record.value))
    }
    for alias in sorted(aliases ^ oracle.aliases)[:5]:
        found.wrong_states.append(f"alias {alias}: {'' if alias in aliases else 'not '}there")


def _states(found: Found, oracle: Oracle, town: Town) -> None:
    """Every node, entry, timer, clock and count in Redis is what the log says."""
    with town.redis.client() as client:
        for part in oracle.parts:
            head = town.space.key(part.index, "")
            names = [name.decode().removeprefix(head) for name in client.scan_iter(f"{head}*")]
            found.wrong_states += _wrong_meta(part, client.hgetall(head + "m"))
            kept = [n for n in names if n[:2] in ("s:", "R:")]
            values = client.mget([head + n for n in kept]) if kept else []
            got = dict(zip(kept, values, strict=True))
            found.wrong_states += _wrong_nodes(part, got)
            timers = dict(client.zrange(head + "tm", 0, -1, withscores=True))
            found.wrong_states += _wrong_timers(part, timers)


def _wrong_meta(part: Part, held: dict[bytes, bytes]) -> Iterator[str]:
    want = {"off": part.off, "now": part.now, "clk": part.passed, "oseq": len(part.triggers)}
    for name, value in want.items():
        if int(held[name.encode()]) != value:
            yield f"partition {part.index}: {name} is {held[name.encode()]!r}, not {value}"
    marks = {int(source): mseq for source, mseq in orjson.loads(held[b"src"]).items()}
    if marks != part.src:
        yield f"partition {part.index}: marks of its sources are {marks}, not {part.src}"
    counts = orjson.loads(held[b"counts"])
    for name in ("applied", "duplicate", "dead", "customers"):
        if counts.get(name, 0) != part.counts[name]:
            yield f"partition {part.index}: {counts.get(name)} {name}, not {part.counts[name]}"


def _wrong_nodes(part: Part, got: dict[str, bytes]) -> Iterator[str]:
    nodes = {f"s:{TENANT}:{name}": node for name, node in part.nodes.items()}
    entries = {f"R:{TENANT}/{name}": entry for name, entry in part.entries.items()}
    for name in sorted(nodes.keys() | entries.keys() | got.keys()):
        if name not in got or (name not in nodes and name not in entries):
            yield f"{name} is {'' if name in got else 'not '}there"
        elif name in nodes:
            yield from (f"{name}: {what}" for what in _differences(name, nodes[name], got[name]))
        else:
            entry = decode_entry(got[name])
            want = entries[name]
            if isinstance(want, str) or not isinstance(entry, StoredRoot):
                if entry != want:
                    yield f"{name} is {entry!r}, not {want!r}"
            elif (entry.members, entry.refusals) != (want.members, want.refusals):
                yield f"{name} is {entry!r}, not {want!r}"


def _differences(name: str, want: Live | Sign, value: bytes) -> Iterator[str]:
    node = decode_node(name, value)
    if isinstance(want, Sign) or isinstance(node, Tombstone) or node is None:
        same = isinstance(want, Sign) and isinstance(node, Tombstone)
        if not same or _way(node) != _way(want):
            yield f"{node!r}, not {want!r}"
        return
    actor, memory = node.actor, want.memory
    fired = actor.rules["thanks"].fired if "thanks" in actor.rules else []
    timer = actor.timers.get("w:left-cart:")
    pairs: dict[str, tuple[Any, Any]] = {
        "seen": (node.links.seen, want.seen),
        "shared": (node.links.shared, want.shared),
        "ring": (len(node.links.ring) // 8, len(want.ring)),
        "orders": ((actor.trade.orders, actor.trade.total_minor), (want.orders, want.total)),
        "contacts": ({n: t.count for n, t in actor.touches.items()}, dict(want.touches)),
        "thanks": (fired, memory.fired),
        "cart": (None if timer is None else timer.score, memory.score),
    }
    for what, (got, wanted) in pairs.items():
        if got != wanted:
            yield f"{what} {got}, not {wanted}"


def _way(node: Any) -> tuple[str, str, bool]:
    return node.fwd, node.own, node.shared


def _wrong_timers(part: Part, timers: dict[bytes, float]) -> Iterator[str]:
    got: dict[str, int] = {}
    for member, score in timers.items():
        node, _, timer = member.decode().partition("|")
        if timer == "w:left-cart:":
            got[node.removeprefix(f"{TENANT}:")] = int(score)
        elif timer[0] not in "lk":  # churn's own are not the oracle's
            yield f"timer {member.decode()} is nobody's"
    want = {name: score for score, name in part.due()}
    for name in sorted(got.items() ^ want.items())[:3]:
        yield f"partition {part.index}: timer {name} differs"


def _effects(found: Found, oracle: Oracle, channels: Channels, bootstrap: str) -> None:
    """Each channel system did once what each trigger for it asks; what it may not have is told."""
    told: dict[tuple[str, str], str] = {}
    for record in read_topic(bootstrap, "dead.deliveries", 1)[0]:
        letter = orjson.loads(record.value)
        told[letter["id"], letter["source"]] = letter["reason"]
    wanted: set[tuple[str, str]] = set()
    for part in oracle.parts:
        for item in part.triggers:
            if item[0] == "trigger":
                wanted |= {
                    (item[1], n) for n, rules in RULES.items() if not rules or item[2] in rules
                }
    for name, channel in channels.all.items():
        found.wrong_states += [f"{name} refused {n}: {why}" for why, n in channel.refused.items()]
        for trigger, webhooks in channel.effects.items():
            if len(webhooks) > 1:
                found.duplicates.append(f"trigger {trigger} at {name}, as {sorted(webhooks)}")
            if (trigger, name) not in wanted:
                found.duplicates.append(f"trigger {trigger} at {name}, which nobody has made")
    for trigger, name in sorted(wanted):
        if trigger not in channels.all[name].effects and (trigger, name) not in told:
            found.lost.append(f"trigger {trigger} never came to {name}")
    for place, reason in sorted(told.items()):
        if place[1] != "desk" or reason != "delivery/parked":
            found.wrong_states.append(f"trigger {place[0]} for {place[1]}: {reason}")
