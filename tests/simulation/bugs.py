"""Bugs to plant: each is one small change of the engine, and storms must find it.

PROTOCOL.md section 2 row 2 and IDENTITY.md name most of them. `within`: so many seeds from 0 on are
tried until one finds it. `excuse`: why no storm can, where that is so. `hunt`: what is tried of a
seed, where it is not the whole engine.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from msgspec.structs import replace as replace_struct

from engine.adapters import memory, redis, seats
from engine.decision import act, decide, limits
from engine.delivery import intake
from engine.errors import Fenced, LogError
from engine.events import topics
from engine.identity import node
from engine.ingest import accept
from engine.matching import absence
from engine.pipeline import envelope, fold, persons, state, think
from engine.ports import LedgerSnapshot
from engine.profile import calendar
from engine.runtime import rekey, ticker
from engine.runtime.handover import attempt, sender
from engine.runtime.partition import engage
from engine.runtime.partition import owner as partition
from tests.simulation import cluster, deadly, faults, transactions
from tests.simulation.findings import Violation
from tests.simulation.lua import LuaSlots

Patch = tuple[Any, str, Any]


@dataclass(frozen=True)
class Bug:
    """One planted bug: `patches` returns (object, attribute, what stands there instead)."""

    name: str
    breaks: str
    patches: Callable[[], list[Patch]]
    within: int = 40
    excuse: str = ""
    slots: type[faults.Slots] = faults.Slots
    hunt: Callable[[int], list[Violation]] | None = None


@contextmanager
def planted(bug: Bug) -> Iterator[None]:
    """Run with a bug in the engine."""
    patches = bug.patches()
    kept = [(holder, name, holder.__dict__[name]) for holder, name, _ in patches]
    try:
        for holder, name, value in patches:
            setattr(holder, name, value)
        yield
    finally:
        for holder, name, value in kept:
            setattr(holder, name, value)


BUGS: list[Bug] = []


def bug(
    breaks: str,
    *,
    within: int = 40,
    excuse: str = "",
    slots: type[faults.Slots] = faults.Slots,
    hunt: Callable[[int], list[Violation]] | None = None,
) -> Callable[[Callable[[], list[Patch]]], Callable[[], list[Patch]]]:
    """Enter a function that returns patches as a bug of its name."""

    def enter(patches: Callable[[], list[Patch]]) -> Callable[[], list[Patch]]:
        BUGS.append(Bug(patches.__name__, breaks, patches, within, excuse, slots, hunt))
        return patches

    return enter


# The fence, take-over and publication.


def _apply_without(*, token: bool = False, offset: bool = False) -> list[Patch]:
    real = memory.MemoryStore.apply

    async def apply(self: Any, number: int, own: str, commit: Any) -> None:
        if token:
            own = self._owner.get(number, own)
        if offset and number in self._meta:
            commit = replace(commit, off_expected=self._meta[number].off)
        await real(self, number, own, commit)

    return [(memory.MemoryStore, "apply", apply)]


@bug("a commit is taken at whatever offset the partition is")
def no_compare_and_set() -> list[Patch]:
    return _apply_without(token=True, offset=True)


@bug(
    "a commit is taken from whoever sends it",
    excuse="the compare-and-set on the offset alone keeps the state right (PROTOCOL.md 1.5)",
)
def no_token() -> list[Patch]:
    return _apply_without(token=True)


@bug("a new owner does not publish what the one before had committed and not sent")
def outbox_not_published_at_take_over() -> list[Patch]:
    real = partition.Owner.take_over

    async def take_over(self: Any) -> int:
        publish, self._publish = self._publish, _nothing
        try:
            return await real(self)
        finally:
            self._publish = publish

    return [(partition.Owner, "take_over", take_over)]


async def _nothing(*_: Any, **__: Any) -> None:
    return None


@bug("the outbox is trimmed with the commit, before the log has it")
def outbox_trimmed_too_early() -> list[Patch]:
    real = faults.FaultyStore.apply

    async def apply(self: Any, number: int, token: str, commit: Any) -> None:
        early = replace(
            commit,
            trim_outbox=max([commit.trim_outbox, *(n for n, _ in commit.outbox)]),
            trim_moves=max([commit.trim_moves, *(n for n, _ in commit.moves)]),
        )
        await real(self, number, token, early)

    return [(faults.FaultyStore, "apply", apply)]


@bug(
    "a new owner does not read back what is published",
    excuse="what comes again has its number and its bytes, and every reader drops it",
)
def no_read_back() -> list[Patch]:
    async def read_back(*_: Any) -> int:
        return 0

    return [(partition, "read_back", read_back)]


@bug("a new owner trusts a number that nobody has published: the counter of the state")
def read_back_believes_the_state() -> list[Patch]:
    real, counters = partition.check_log, {}

    async def check_log(reader: Any, number: int, meta: Any) -> None:
        counters[number] = meta.oseq
        await real(reader, number, meta)

    async def read_back(reader: Any, number: int, *_: Any) -> int:
        found: int = counters[number]
        return found

    return [(partition, "check_log", check_log), (partition, "read_back", read_back)]


@bug(
    "ownership is not proved before publishing",
    excuse="what a zombie sends was committed once: same number, same bytes (PROTOCOL.md 1.4)",
)
def no_proof_before_publishing() -> list[Patch]:
    return [(partition.Owner, "_prove", _nothing)]


@bug("a writer of transactions that was fenced claims again, and goes on", within=120)
def fenced_for_nothing() -> list[Patch]:
    real = transactions.FaultyTransactions.publish

    async def publish(self: Any, number: int, records: Any) -> None:
        try:
            await real(self, number, records)
        except Fenced:
            await self.claim(number)
            await real(self, number, records)

    return [(transactions.FaultyTransactions, "publish", publish)]


@bug("nodes in memory outlive an error whose outcome nobody knows")
def cache_kept_after_an_error() -> list[Patch]:
    real = partition.Owner.take_over

    async def take_over(self: Any) -> int:
        kept = self._cache if self.is_ready else None
        offset = await real(self)
        self._cache = kept or self._cache
        return offset

    return [(partition.Owner, "take_over", take_over)]


@bug("the first record of a batch is passed over now and then")
def a_record_is_skipped() -> list[Patch]:
    real = partition.fold

    def skipping(held: Any, arrival: Any, book: Any) -> None:
        if arrival.record.offset % 17 == 16:
            held.meta.off = arrival.record.offset
        else:
            real(held, arrival, book)

    return [(partition, "fold", skipping)]


@bug("an offset that is a marker of a transaction counts as a record that is missing")
def markers_are_holes() -> list[Patch]:
    real = seats.Seat.take

    def take(self: Any, answer: Any) -> None:
        if len(answer.records) < answer.after - answer.begin:
            answer = answer._replace(begin=answer.after)
        real(self, answer)

    return [(seats.Seat, "take", take)]


@bug("a producer goes on behind a record that it could not send")
def a_middle_is_lost() -> list[Patch]:
    real = faults.FaultyLog.publish

    async def publish(self: Any, records: Any) -> None:
        chance = self._process.chance
        if len(records) > 1 and not chance.calm and chance.calls.random() < 0.1:
            await real(self, [*records[:-2], records[-1]])
            raise LogError("injected: one in the middle is missing", code="log/down")
        await real(self, records)

    return [(faults.FaultyLog, "publish", publish)]


@bug("timers are not loaded at a take-over")
def timers_forgotten_at_take_over() -> list[Patch]:
    return [(state.Partition, "set_timers", lambda self, timers: None)]


@bug("the fold reads a clock")
def a_clock_in_the_fold() -> list[Patch]:
    clock = Random(1)
    real = think.open_turn

    def open_turn(*arguments: Any) -> Any:
        turn = real(*arguments)
        turn.now += clock.randrange(1_000)
        return turn

    return [(think, "open_turn", open_turn), (persons, "open_turn", open_turn)]


@bug("a new rule set counts once a worker has loaded it, not from its record on")
def rules_by_the_worker() -> list[Patch]:
    real = partition.fold

    def early(held: Any, arrival: Any, book: Any) -> None:
        if "v2" in book.rule_sets:
            held.meta.ruleset = "v2"
        real(held, arrival, book)

    return [(partition, "fold", early)]


@bug("a rule that is disabled goes on")
def disabled_for_nothing() -> list[Patch]:
    return [_step("disable", lambda held, arrival, book: None)]


@bug("what is disabled is on again for the next owner")
def disabled_until_the_next_owner() -> list[Patch]:
    real = partition.Owner.take_over

    async def take_over(self: Any) -> int:
        offset = await real(self)
        self._state.meta.disabled = {}
        return offset

    return [(partition.Owner, "take_over", take_over)]


@bug("a rule is disabled whatever version the order is about", within=100)
def any_version_is_disabled() -> list[Patch]:
    def disable(held: Any, arrival: Any, book: Any) -> None:
        name, rules = arrival.body.rule, book.rule_sets[held.meta.ruleset].rules
        if name in rules:
            held.meta.disabled = {**held.meta.disabled, name: rules[name].version}

    return [_step("disable", disable)]


@bug("a rule that was disabled stays so in its next version", within=200)
def disabled_for_ever() -> list[Patch]:
    real = fold.STEPS["ruleset"]

    def ruleset(held: Any, arrival: Any, book: Any) -> None:
        kept = held.meta.disabled
        real(held, arrival, book)
        held.meta.disabled = kept

    return [_step("ruleset", ruleset)]


@bug("one record that the fold cannot bear takes its whole batch with it")
def poison_spreads() -> list[Patch]:
    async def all_of_them(self: Any, owner: Any, records: Any) -> int:
        offset: int = owner.state.meta.off + 1
        for record in records:
            if record.offset >= offset:
                offset, _ = await owner.quarantine(record, TypeError("in this batch"))
        return offset

    return [(engage.Engage, "_one_by_one", all_of_them)]


@bug("nobody counts how many have died at a place")
def deaths_not_counted() -> list[Patch]:
    real = memory.MemoryStore.acquire

    async def acquire(self: Any, number: int, token: str, **more: Any) -> Any:
        return replace(await real(self, number, token, **more), tries=1, alone=0)

    return [(memory.MemoryStore, "acquire", acquire)]


@bug("a record is passed over as soon as some owners have gone")
def accused_without_proof() -> list[Patch]:
    return [(partition, "ALONE_MAX", 0)]


@bug("what is due when a batch has fired its share waits for another tick")
def the_rest_of_a_tick_forgotten() -> list[Patch]:
    real = fold.STEPS["tick"]

    def tick(held: Any, arrival: Any, book: Any) -> None:
        real(held, arrival, book)
        held.meta.sub = 0

    return [_step("tick", tick)]


@bug(
    "a commit does not look how many timers of an unfinished tick have fired",
    excuse="the token stops other owners, and one's own chain has no such commit",
)
def timers_not_compared() -> list[Patch]:
    def place(self: Any, number: int) -> tuple[int, int]:
        return self._meta[number].off if number in self._meta else -1, 0

    real = memory.MemoryStore.apply

    async def apply(self: Any, number: int, token: str, commit: Any) -> None:
        await real(self, number, token, replace(commit, sub_expected=0))

    return [(memory.MemoryStore, "_place", place), (memory.MemoryStore, "apply", apply)]


# Messages between actors, identity.


@bug("what was sent twice by an actor is applied twice", within=200)
def no_high_water() -> list[Patch]:
    real = fold.fold

    def again(held: Any, arrival: Any, book: Any) -> None:
        if arrival.src is not None:
            held.meta.src[arrival.src] = arrival.mseq - 1
        real(held, arrival, book)

    return [(partition, "fold", again), (deadly, "fold", again)]


@bug("the ring of event ids is not asked")
def no_ring() -> list[Patch]:
    return [(persons, "takes", lambda links, name, now: True)]


@bug("a merge forgets which events the absorbed one had")
def ring_lost_at_a_merge() -> list[Patch]:
    real = node.merge_links

    def merge_links(winner: Any, loser: Any, absorbed: str) -> None:
        loser.ring, loser.ring_at = b"", b""
        real(winner, loser, absorbed)

    return [(persons, "merge_links", merge_links)]


@bug("an event that came by a hint is applied wherever somebody lives")
def hints_are_believed() -> list[Patch]:
    real = persons.event

    def event(held: Any, arrival: Any, book: Any) -> None:
        live = held.nodes[arrival.name]
        if isinstance(live, state.Live):
            persons._apply(held, live, arrival, book)
        else:
            real(held, arrival, book)

    return [_step("event", event)]


def _step(kind: str, step: Any) -> Patch:
    return fold, "STEPS", {**fold.STEPS, kind: step}


@bug("nobody asks the registrar who somebody is")
def no_claims() -> list[Patch]:
    return [(persons, "_claim", lambda *_: None)]


@bug("timers of an absorbed customer stay in the set")
def timers_outlive_their_node() -> list[Patch]:
    return [(persons, "disarm", lambda *_: None)]


@bug("the absorbed customer's state does not move in")
def nothing_moves_in() -> list[Patch]:
    return [(persons, "merge_actor", lambda turn, loser, *, absorbed, forced: None)]


@bug("a signpost drops what is on its way to its customer's state")
def refusals_of_forwards() -> list[Patch]:
    real = envelope.forward

    def forward(held: Any, arrival: Any, to: str, **more: Any) -> None:
        if held.meta.mseq % 5:
            real(held, arrival, to, **more)

    return [(persons, "forward", forward)]


@bug(
    "the shortcut of a signpost is taken by all that passes",
    excuse="chains of three signposts, most events twice: once in 290 long runs (IDENTITY.md)",
)
def shortcut_for_everybody() -> list[Patch]:
    real = persons._pass_on

    def pass_on(held: Any, arrival: Any, home: str, signpost: Any, book: Any) -> None:
        real(held, arrival, home, replace_struct(signpost, fwd=signpost.target), book)

    return [(persons, "_pass_on", pass_on)]


@bug("the state of an absorbed customer is sent before its events are forwarded, by another way")
def moves_out_of_order() -> list[Patch]:
    real = faults.FaultyLog.publish

    async def publish(self: Any, records: Any) -> None:
        mine = [r for r in records if r.topic == topics.EVENTS]
        others = [r for r in records if r.topic != topics.EVENTS]
        await real(self, others + mine[::-1])

    return [(faults.FaultyLog, "publish", publish)]


@bug("a control record without the engine's seal is believed")
def seals_not_checked() -> list[Patch]:
    class Open:
        holds = staticmethod(lambda *_: True)
        sign = staticmethod(envelope.mac.sign)

    return [(envelope, "mac", Open)]


@bug("what cannot be read is dropped without a word")
def no_dead_letters() -> list[Patch]:
    return [(fold, "bury", lambda *_: None)]


# Time.


@bug("T is simply now: an event that is forwarded comes too late", within=200)
def no_rounds() -> list[Patch]:
    def tick_records(now: int, passed: int, count: int, secret: bytes) -> Any:
        return real(now, now, count, secret)

    real = ticker.tick_records
    return [(ticker, "tick_records", tick_records)]


@bug("absence does not wait for events that are late", within=200)
def no_lateness() -> list[Patch]:
    real = cluster.Book

    def book(**more: Any) -> Any:
        return real(**{**more, "lateness_ms": lambda _: 0})

    return [(cluster, "Book", book)]


@bug("what happened before a wait began, by arrival, does not end it", within=200)
def absence_does_not_look_back() -> list[Patch]:
    return [(absence, "_look_back", lambda *_: None)]


@bug("an absence fires whatever has happened")
def stops_do_not_count() -> list[Patch]:
    return [(absence, "_end", lambda *_: None), (absence, "_look_back", lambda *_: None)]


# Decisions.


@bug("the trigger's id holds the version of the rule")
def versions_in_trigger_ids() -> list[Patch]:
    real = act.trigger_id

    def trigger_id(tenant: str, rule: str, cause: str, instance: str, index: int) -> str:
        return real(tenant, rule + "@2", cause, instance, index)

    return [(act, "trigger_id", trigger_id)]


@bug("a decision is not counted against its limits")
def limits_not_reserved() -> list[Patch]:
    return [(act, "reserve", lambda *_: None), (act, "reserve_groups", lambda *_: None)]


@bug("a local day begins at midnight of UTC", within=200)
def days_of_utc() -> list[Patch]:
    return [(limits, "day_start", lambda at, zone: at - at % 86_400_000)]


@bug("quiet hours are those of UTC")
def nights_of_utc() -> list[Patch]:
    def quiet_until(at: int, quiet: Any, zone: Any) -> Any:
        return calendar.quiet_until(at, quiet, ZoneInfo("UTC"))

    return [(decide, "quiet_until", quiet_until)]


@bug("the comparison group is drawn by chance")
def holdout_by_chance() -> list[Patch]:
    chance = Random(1)
    return [(act, "is_held_out", lambda rule, name: bool(rule.holdout) and chance.random() < 0.3)]


# Delivery.


@bug("a new owner of a ledger does not know what is still to be delivered")
def jobs_forgotten_at_take_over() -> list[Patch]:
    real = faults.FaultyLedger.acquire

    async def acquire(self: Any, number: int, token: str) -> LedgerSnapshot:
        found = await real(self, number, token)
        return LedgerSnapshot(off=found.off, oseq=found.oseq, jobs={})

    return [(faults.FaultyLedger, "acquire", acquire)]


@bug("the ledger's offset moves on before its jobs are written")
def offset_before_jobs() -> list[Patch]:
    real = faults.FaultyLedger.apply

    async def apply(self: Any, number: int, token: str, update: Any) -> None:
        if update.off_expected is not None and update.jobs:
            await real(self, number, token, replace(update, jobs={}))
            update = replace(update, off_expected=None)
        await real(self, number, token, update)

    return [(faults.FaultyLedger, "apply", apply)]


@bug("who is held out for comparison is contacted")
def held_out_are_contacted() -> list[Patch]:
    real = intake._decode

    def decode(value: bytes) -> Any:
        item = real(value)
        if hasattr(item, "held_out"):
            item.held_out = False
        return item

    return [(intake, "_decode", decode)]


@bug("each attempt has an id of its own")
def an_id_per_attempt() -> list[Patch]:
    real, number = attempt.WEBHOOK, iter(range(10**9))

    def render(endpoint: Any, name: str, *rest: Any) -> Any:
        return real.render(endpoint, f"{name}-{next(number)}", *rest)

    return [(attempt, "WEBHOOK", replace(real, render=render))]


@bug("an attempt that was not answered counts as done")
def silence_is_success() -> list[Patch]:
    real = attempt.WEBHOOK

    def read(reply: Any) -> Any:
        return real.read(reply if reply.status else replace(reply, status=200))

    return [(attempt, "WEBHOOK", replace(real, read=read))]


@bug("what expires is dropped without a dead letter")
def expiry_without_a_word() -> list[Patch]:
    async def letters(self: Any, *_: Any) -> list[Any]:
        return []

    return [(sender.Dispatcher, "_letters", letters)]


@bug("what tells of a delivery does not reach one who was parted from another")
def receipts_of_the_parted_lost() -> list[Patch]:
    node = re.compile(r"(?:[0-3][a-z]|-[0-9][a-z]|E[a-z])[A-Za-z0-9_-]{16}")
    return [(accept, "_NODE", node)]


@bug("the inbox moves on before its records are in the log")
def inbox_committed_too_early() -> list[Patch]:
    async def batch(self: Any, number: int, records: Any) -> int:
        after: int = records[-1].offset + 1
        await self._offsets.put(number, after, accepted=0, dead=0)
        await self._publisher.publish([self._event(record) for record in records])
        return after

    return [(rekey.Rekeyer, "batch", batch)]


# The same in the Functions of Redis.


def _lua(text: str, instead: str) -> list[Patch]:
    assert redis._FUNCTIONS.count(text) == 1, f"`{text}` stands in the library once"
    return [(redis, "_FUNCTIONS", redis._FUNCTIONS.replace(text, instead))]


@bug("the Function commits at whatever offset the partition is", slots=LuaSlots)
def no_compare_and_set_in_lua() -> list[Patch]:
    held = "local held = redis.call('HMGET', m, 'ep', 'off', 'sub')\n"
    token = "  if held[1] ~= args[1] then return 'FENCED' end\n"
    place = "  if place(held[2], held[3]) ~= args[2] then return 'STALE' end\n"
    return _lua(f"{held}{token}{place}", "")


@bug("the Function leaves timers that were cancelled", slots=LuaSlots)
def cancelled_timers_stay_in_lua() -> list[Patch]:
    return _lua("redis.call('ZREM', keys[2], ...)", "return ...")


@bug("the Function trims one entry that nobody has acknowledged", slots=LuaSlots)
def trimmed_too_far_in_lua() -> list[Patch]:
    return _lua("'ZREMRANGEBYSCORE', keys[4], '-inf', args[4]",
                "'ZREMRANGEBYSCORE', keys[4], '-inf', args[4] + 1")  # fmt: skip
