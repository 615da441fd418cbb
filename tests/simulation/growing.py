"""A world that grows: two logs, two stores, and the producers that have not heard of it yet."""

from collections import Counter
from collections.abc import Sequence
from random import Random

import msgspec

from engine.adapters.memory_ledger import MemoryLedger
from engine.delivery.intake import take_in
from engine.delivery.model import Endpoint
from engine.errors import EngineError
from engine.events.model import Event
from engine.events.record import Record, partition_of
from engine.pipeline.state import Live
from engine.ports import LedgerUpdate
from engine.runtime.growth import Growth, Side
from engine.runtime.ticker import Passed
from tests import spine
from tests.simulation.world import SECRET, TENANT, Faults, World

CRM = Endpoint("crm", "https://crm.example/hook", ("whsec_c2VjcmV0",))
TRIES_MAX = 200


class Passing:
    """How far the old partitions have been passed on (ports.Offsets)."""

    def __init__(self) -> None:
        self.held: dict[int, int] = {}

    async def get(self, partition: int) -> int:
        """Return the offset that comes next."""
        return self.held.get(partition, 0)

    async def put(self, partition: int, offset: int, *, accepted: int, dead: int) -> None:
        """Note it."""
        self.held[partition] = offset


class Intake:
    """The deliver role, as far as the ledger goes."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger = ledger
        self._at: dict[int, tuple[int, int]] = {}

    async def assigned(self, partition: int) -> int:
        """Take the ledger over."""
        found = await self._ledger.acquire(partition, "intake")
        self._at[partition] = (found.off, found.oseq)
        return found.off + 1

    async def batch(self, partition: int, records: Sequence[Record]) -> int:
        """Write jobs for triggers."""
        off, oseq = self._at[partition]
        intake = take_in(records, [CRM], oseq=oseq)
        jobs = {member: (7, job) for member, job in intake.jobs.items()}
        update = LedgerUpdate(off, records[-1].offset, intake.oseq, jobs=jobs)  # type: ignore[arg-type]
        await self._ledger.apply(partition, "intake", update)
        self._at[partition] = (update.off, update.oseq)
        return update.off + 1


class Growing:
    """An old world and its heir; both go on until somebody switches them off."""

    def __init__(self, seed: int, *, old: int, new: int, faults: Faults | None = None) -> None:
        self.old = spine.a_world(partition_count=old, seed=seed, faults=faults)
        self.new = spine.a_world(partition_count=new, seed=seed + 1, deployed=False)
        self.old_ledger, self.new_ledger = MemoryLedger(), MemoryLedger()
        self.passing = Passing()
        self.tries = 0
        self.random = Random(seed)

    def growth(self) -> Growth:
        """Return the growth as a new process would begin it."""

        async def pause(_: str) -> None:
            for __ in range(self.random.randint(0, 3)):  # workers are slow, and look away
                await self.old.step()

        old, new = (
            Side(version, world.count, world.store, ledger, world.log, world.log)
            for version, world, ledger in (
                (1, self.old, self.old_ledger),
                (2, self.new, self.new_ledger),
            )
        )
        intake = Intake(self.old_ledger)
        return Growth(old, new, passed_on=self.passing, intake=intake, secret=SECRET, pause=pause)

    async def grow(self) -> None:
        """Run `engine grow` until it ends well; each run that breaks is begun anew."""
        while True:
            self.tries += 1
            assert self.tries < TRIES_MAX, "it never ends"
            growth = self.growth()
            try:
                if not await growth.is_carried():
                    await growth.cut()
                    await growth.carry()
                await growth.carry_ledger()
                await growth.pass_on()
                break
            except EngineError:
                continue
        self.new.now = self.old.now
        every = [await self.new.store.meta(q) for q in range(self.new.count)]
        self.new.passed = Passed(max(meta.clk for meta in every))


def a_crowd(seed: int, count: int) -> list[Event]:
    """Return events of people with a user id and devices; some share a device for a while."""
    random = Random(seed)
    events = []
    for number in range(count):
        who = random.randrange(12)
        ids = {f"0u{who:02d}"} if random.random() < 0.7 else set()
        if random.random() < 0.6 or not ids:
            ids.add(f"3d{who:02d}{random.randrange(2)}")
        type_ = spine.ORDER if random.random() < 0.3 else spine.CART
        event = spine.an_event(min(ids), f"e{number}", 0, type=type_)
        events.append(msgspec.structs.replace(event, ids=sorted(ids)))
    return events


def at_now(event: Event, now: int) -> Event:
    """Return the event as it happens now."""
    return msgspec.structs.replace(event, at=now, original_at=now, received_at=now)


def customers(world: World) -> dict[str, object]:
    """Return all that is known at live nodes; of a signpost where it leads."""
    found: dict[str, object] = {}
    for name, node in world.nodes().items():
        if isinstance(node, Live):
            found[name] = msgspec.msgpack.decode(msgspec.msgpack.encode(node.actor))
            found[name + " links"] = (dict(node.links.seen), len(node.links.ring))
        else:
            assert node is not None
            found[name] = node.fwd
    return found


def timers(world: World) -> dict[str, int]:
    """Return all timers, and see that each is where its node is."""
    found: dict[str, int] = {}
    for partition, held in world.store._timers.items():
        for member, score in held.items():
            node = member.partition("|")[0].removeprefix(f"{TENANT}:")
            assert partition_of(node, world.count) == partition
            found[member] = score
    return found


def trigger_ids(*worlds: World) -> Counter[str]:
    """Return how often each trigger is on the trigger topics."""
    return Counter(t.id for world in worlds for t in spine.triggers(world))
