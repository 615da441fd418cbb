"""Bugs of those who own a partition to plant: fence, take-over, publication, poison, and in Lua."""

from dataclasses import replace
from random import Random
from typing import Any

from engine.adapters import memory
from engine.adapters.kafka import seats
from engine.adapters.redis import store
from engine.errors import Fenced, LogError
from engine.pipeline import fold, persons, state, think
from engine.runtime.partition import coverage, engage
from engine.runtime.partition import owner as partition
from tests.instead import Patch
from tests.simulation import transactions, ways
from tests.simulation.bugs import bug, step
from tests.simulation.lua import LuaSlots


def _apply_without(*, token: bool = False, offset: bool = False) -> list[Patch]:
    real = memory.MemoryStore.apply

    async def apply(self: Any, number: int, own: str, commit: Any) -> None:
        if token:
            own = self._owner.get(number, own)
        if offset and number in self._meta:
            commit = replace(commit, off_expected=self._meta[number].off)
        await real(self, number, own, commit)

    return [(memory.MemoryStore, "apply", apply)]


@bug("a commit is taken at whatever offset the partition is", seed=4)
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
    real = ways.FaultyStore.apply

    async def apply(self: Any, number: int, token: str, commit: Any) -> None:
        early = replace(
            commit,
            trim_outbox=max([commit.trim_outbox, *(n for n, _ in commit.outbox)]),
            trim_moves=max([commit.trim_moves, *(n for n, _ in commit.moves)]),
        )
        await real(self, number, token, early)

    return [(ways.FaultyStore, "apply", apply)]


# Of plain sends every reader drops what comes again; what goes out in transactions comes once.
@bug("a new owner does not read back what is published", seed=3)
def no_read_back() -> list[Patch]:
    async def read_back(*_: Any) -> int:
        return 0

    return [(partition, "read_back", read_back)]


@bug("a new owner trusts a number that nobody has published: the counter of the state")
def read_back_believes_the_state() -> list[Patch]:
    real, counters = coverage.check_log, {}

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


@bug("a writer of transactions that was fenced claims again, and goes on", seed=9, within=120)
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
    real = fold.fold

    def skipping(held: Any, arrival: Any, book: Any) -> None:
        if arrival.record.offset % 17 == 16:
            held.meta.off = arrival.record.offset
        else:
            real(held, arrival, book)

    return [(partition, "fold", skipping)]


@bug("an offset that is a marker of a transaction counts as a record that is missing", seed=4)
def markers_are_holes() -> list[Patch]:
    real = seats.Seat.take

    def take(self: Any, answer: Any) -> None:
        if len(answer.records) < answer.after - answer.begin:
            answer = answer._replace(begin=answer.after)
        real(self, answer)

    return [(seats.Seat, "take", take)]


@bug("a producer goes on behind a record that it could not send", seed=9)
def a_middle_is_lost() -> list[Patch]:
    real = ways.FaultyLog.publish

    async def publish(self: Any, records: Any) -> None:
        chance = self._process.chance
        if len(records) > 1 and not chance.calm and chance.calls.random() < 0.1:
            await real(self, [*records[:-2], records[-1]])
            raise LogError("injected: one in the middle is missing", code="log/down")
        await real(self, records)

    return [(ways.FaultyLog, "publish", publish)]


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


@bug("a new rule set counts once a worker has loaded it, not from its record on", seed=5)
def rules_by_the_worker() -> list[Patch]:
    real = fold.fold

    def early(held: Any, arrival: Any, book: Any) -> None:
        if "v2" in book.rule_sets:
            held.meta.ruleset = "v2"
        real(held, arrival, book)

    return [(partition, "fold", early)]


@bug("a rule that is disabled goes on", seed=23)
def disabled_for_nothing() -> list[Patch]:
    return [step("disable", lambda held, arrival, book: None)]


@bug("what is disabled is on again for the next owner", seed=14)
def disabled_until_the_next_owner() -> list[Patch]:
    real = partition.Owner.take_over

    async def take_over(self: Any) -> int:
        offset = await real(self)
        self._state.meta.disabled = {}
        return offset

    return [(partition.Owner, "take_over", take_over)]


@bug("a rule is disabled whatever version the order is about", seed=7, within=100)
def any_version_is_disabled() -> list[Patch]:
    def disable(held: Any, arrival: Any, book: Any) -> None:
        name, rules = arrival.body.rule, book.rule_sets[held.meta.ruleset].rules
        if name in rules:
            held.meta.disabled = {**held.meta.disabled, name: rules[name].version}

    return [step("disable", disable)]


@bug("a rule that was disabled stays so in its next version", seed=52, within=200)
def disabled_for_ever() -> list[Patch]:
    real = fold.STEPS["ruleset"]

    def ruleset(held: Any, arrival: Any, book: Any) -> None:
        kept = held.meta.disabled
        real(held, arrival, book)
        held.meta.disabled = kept

    return [step("ruleset", ruleset)]


@bug("one record that the fold cannot bear takes its whole batch with it")
def poison_spreads() -> list[Patch]:
    async def all_of_them(self: Any, owner: Any, records: Any) -> int:
        offset: int = owner.state.meta.off + 1
        for record in records:
            if record.offset >= offset:
                offset, _ = await owner.quarantine(record, TypeError("in this batch"))
        return offset

    return [(engage.Engage, "_one_by_one", all_of_them)]


@bug("nobody counts how many have died at a place", seed=5)
def deaths_not_counted() -> list[Patch]:
    real = memory.MemoryStore.acquire

    async def acquire(self: Any, number: int, token: str, **more: Any) -> Any:
        return replace(await real(self, number, token, **more), tries=1, alone=0)

    return [(memory.MemoryStore, "acquire", acquire)]


@bug("a record is passed over as soon as some owners have gone")
def accused_without_proof() -> list[Patch]:
    return [(partition, "ALONE_MAX", 0)]


@bug("what is due when a batch has fired its share waits for another tick", seed=14)
def the_rest_of_a_tick_forgotten() -> list[Patch]:
    real = fold.STEPS["tick"]

    def tick(held: Any, arrival: Any, book: Any) -> None:
        real(held, arrival, book)
        held.meta.sub = 0

    return [step("tick", tick)]


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


# The same in the Functions of Redis.


def _lua(text: str, instead: str) -> list[Patch]:
    assert store._FUNCTIONS.count(text) == 1, f"`{text}` stands in the library once"
    return [(store, "_FUNCTIONS", store._FUNCTIONS.replace(text, instead))]


@bug("the Function commits at whatever offset the partition is", seed=4, slots=LuaSlots)
def no_compare_and_set_in_lua() -> list[Patch]:
    held = "local held = redis.call('HMGET', m, 'ep', 'off', 'sub')\n"
    token = "  if held[1] ~= args[1] then return 'FENCED' end\n"
    place = "  if place(held[2], held[3]) ~= args[2] then return 'STALE' end\n"
    return _lua(f"{held}{token}{place}", "")


@bug("the Function leaves timers that were cancelled", slots=LuaSlots)
def cancelled_timers_stay_in_lua() -> list[Patch]:
    return _lua("redis.call('ZREM', keys[2], ...)", "return ...")


@bug("the Function trims one entry that nobody has acknowledged", seed=4, slots=LuaSlots)
def trimmed_too_far_in_lua() -> list[Patch]:
    return _lua("'ZREMRANGEBYSCORE', keys[4], '-inf', args[4]",
                "'ZREMRANGEBYSCORE', keys[4], '-inf', args[4] + 1")  # fmt: skip
