"""The deliver role: triggers from the log to webhooks, at least once, the same id on every attempt.

The ledger holds every job until it is settled, so an endpoint that is dead stops no partition and a
restart forgets none. A job is written before its first attempt and settled after its last.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random

import msgspec
import orjson

from engine.decision.model import Outbound, Trigger
from engine.decision.reach import reachable
from engine.delivery.channels.webhook import SPEC as WEBHOOK
from engine.delivery.model import Endpoint, Job, Receipt
from engine.delivery.retry import Breaker, next_attempt
from engine.errors import EngineError, Fenced
from engine.events import topics
from engine.events.record import Outgoing, Record, header, partition_of
from engine.ports import Clock, Ledger, LedgerUpdate, Publisher, Sender
from engine.profile.model import Actor
from engine.runtime.observe import Meter

JOBS_MAX = 5_000  # per partition; then the partition waits, others go on
IDLE_S = 0.02
LookUp = Callable[[str], Awaitable[Actor | None]]
log = logging.getLogger(__name__)
_decode = msgspec.json.Decoder(Outbound).decode
_trigger = msgspec.json.Decoder(Trigger).decode
_json = msgspec.json.Encoder().encode


@dataclass(slots=True)
class _Part:
    """What this process holds of one trigger partition."""

    token: str
    off: int
    oseq: int
    jobs: dict[str, tuple[int, Job]]
    busy: set[str] = field(default_factory=set)


class Dispatcher:
    """A consumer group's Handler over topic `triggers`.

    `real_ms`: the wall clock, for retries; `clock`: log time, for expiry and latency. `lookup`
    returns the customer's state as of now: consent is read once more before sending.
    """

    def __init__(
        self,
        *,
        endpoints: Sequence[Endpoint],
        ledger: Ledger,
        sender: Sender,
        publisher: Publisher,
        clock: Clock,
        real_ms: Callable[[], int],
        lookup: LookUp,
        meter: Meter,
        partition_count: int,
        engine_key: str,
        random: Random | None = None,
    ) -> None:
        self._endpoints = {endpoint.name: endpoint for endpoint in endpoints}
        self._ledger = ledger
        self._sender = sender
        self._publisher = publisher
        self._clock = clock
        self._real_ms = real_ms
        self._lookup = lookup
        self._meter = meter
        self._count = partition_count
        self._engine_key = engine_key.encode()
        self._random = random or Random()
        self._parts: dict[int, _Part] = {}
        self._breakers = {name: Breaker() for name in self._endpoints}
        self._free = {e.name: asyncio.Semaphore(e.concurrency) for e in endpoints}
        self._running: set[asyncio.Task[None]] = set()
        self._gone: set[str] = set()
        self._wake = asyncio.Event()

    async def assigned(self, partition: int) -> int | None:
        """Take the partition's ledger over, with the jobs that are still due."""
        token = secrets.token_hex(8)
        found = await self._ledger.acquire(partition, token)
        self._parts[partition] = _Part(token, found.off, found.oseq, dict(found.jobs))
        self._wake.set()
        return found.off + 1

    async def batch(self, partition: int, records: Sequence[Record]) -> int:
        """Write jobs for the triggers of a batch into the ledger; attempts run by themselves."""
        part = self._parts[partition]
        while len(part.jobs) >= JOBS_MAX:
            await asyncio.sleep(IDLE_S)
        now = self._real_ms()
        oseq = part.oseq
        jobs: dict[str, tuple[int | None, Job]] = {}
        for record in records:
            number = int(header(record.headers, "oseq") or 0)
            if number <= oseq:
                continue  # published twice by a writer that was frozen: seen before
            oseq = number
            self._note(record.value)
            for member, job in self._jobs(record.value):
                jobs[member] = (now, job)
        update = LedgerUpdate(
            off_expected=part.off, off=records[-1].offset, oseq=oseq, jobs=jobs
        )
        await self._ledger.apply(partition, part.token, update)
        part.off, part.oseq = records[-1].offset, oseq
        part.jobs.update({member: (now, job) for member, (_, job) in jobs.items()})
        self._wake.set()
        return part.off + 1

    async def revoked(self, partition: int) -> None:
        """Forget the partition; what is on its way is settled by its fenced ledger, or not."""
        self._parts.pop(partition, None)

    async def run(self, stop: asyncio.Event) -> None:
        """Start attempts when they are due, until told to stop; then wait for those on their way."""
        while not stop.is_set():
            self._start_due()
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), IDLE_S)
            except TimeoutError:
                continue
        if self._running:
            await asyncio.wait(self._running, timeout=1.0)

    def _note(self, value: bytes) -> None:
        item = _decode(value)
        if not isinstance(item, Trigger) and hasattr(item, "held_out"):
            arm = "held_out" if item.held_out else "treated"
            self._meter.count("engine_goal_reached_total", rule=item.rule, arm=arm)

    def _jobs(self, value: bytes) -> list[tuple[str, Job]]:
        item = _decode(value)
        if not isinstance(item, Trigger) or item.held_out or item.status != "live":
            return []
        return [
            (f"{item.id}|{endpoint.name}", Job(value, endpoint.name))
            for endpoint in self._endpoints.values()
            if endpoint.wants(item.rule, item.channels)
        ]

    def _start_due(self) -> None:
        now = self._real_ms()
        due = 0
        for partition, part in self._parts.items():
            for member, (at, job) in part.jobs.items():
                if member in part.busy:
                    continue
                due += 1
                if at > now or self._free_of(job).locked():
                    continue
                breaker = self._breakers.get(job.endpoint)
                if breaker is not None and not breaker.may_try(now):
                    continue
                part.busy.add(member)
                task = asyncio.create_task(self._attempt(partition, part, member, job))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
        self._meter.gauge("engine_deliver_due", due)

    def _free_of(self, job: Job) -> asyncio.Semaphore:
        return self._free.setdefault(job.endpoint, asyncio.Semaphore(1))

    async def _attempt(self, partition: int, part: _Part, member: str, job: Job) -> None:
        try:
            async with self._free_of(job):
                await self._try(partition, part, member, job)
        except Fenced:
            log.info("partition %d: its ledger has another owner now", partition)
        except (EngineError, OSError, TimeoutError) as error:
            log.warning("delivery %s: %s", member, error)
        finally:
            part.busy.discard(member)
            self._wake.set()

    async def _try(self, partition: int, part: _Part, member: str, job: Job) -> None:
        trigger = _trigger(job.trigger)
        endpoint = self._endpoints.get(job.endpoint)
        now, real = self._clock.now(), self._real_ms()
        if endpoint is None or endpoint.name in self._gone:
            await self._settle(partition, part, member, job, trigger, "failed", "endpoint is gone")
            return
        if now > trigger.expires_at:
            await self._settle(partition, part, member, job, trigger, "expired", "expired")
            return
        body, refused = await self._body(trigger, job.trigger)
        if refused:
            await self._settle(partition, part, member, job, trigger, "refused", refused)
            return
        request = WEBHOOK.render(endpoint, trigger.id, body, real // 1000, now)
        receipt = WEBHOOK.read(await self._sender.send(request))
        self._breakers[endpoint.name].note(receipt.outcome == "accepted", real)
        self._meter.count(
            "engine_deliver_attempts_total", endpoint=endpoint.name, outcome=receipt.outcome
        )
        job.note(real, receipt.code)
        await self._after(partition, part, member, job, trigger, endpoint, receipt, now)

    async def _after(
        self,
        partition: int,
        part: _Part,
        member: str,
        job: Job,
        trigger: Trigger,
        endpoint: Endpoint,
        receipt: Receipt,
        now: int,
    ) -> None:
        if receipt.outcome == "accepted":
            if not trigger.waited:
                seconds = (now - trigger.received_at) / 1000
                self._meter.observe("engine_deliver_seconds", max(0.0, seconds))
            await self._settle(partition, part, member, job, trigger, "sent", receipt.code)
        elif receipt.outcome == "gone":
            self._gone.add(endpoint.name)
            await self._settle(partition, part, member, job, trigger, "failed", "410: gone")
        elif receipt.outcome == "unknown" and endpoint.on_unknown == "park":
            await self._settle(partition, part, member, job, trigger, "parked", receipt.code)
        else:
            due = next_attempt(
                len(job.attempts),
                self._real_ms(),
                self._random,
                retry_after_ms=receipt.retry_after_ms,
            )
            update = LedgerUpdate(jobs={member: (due, job)})
            await self._ledger.apply(partition, part.token, update)
            part.jobs[member] = (due, job)

    async def _body(self, trigger: Trigger, value: bytes) -> tuple[bytes, str]:
        """Return (body, '') with consent as of now, or why the trigger must not be sent."""
        if trigger.kind == "service" or trigger.entity != "person":
            return value, ""
        actor = await self._lookup(trigger.customer)
        if actor is None:
            return value, "the customer was erased"
        if trigger.group and actor.suppressed.get(trigger.group, 0) > self._clock.now():
            return value, "suppressed"
        if not trigger.channels:
            return value, ""
        channels = reachable(actor, tuple(trigger.channels), service=False)
        if not channels:
            return value, "consent was withdrawn"
        if channels == trigger.channels:
            return value, ""
        return _json(msgspec.structs.replace(trigger, channels=channels)), ""

    async def _settle(
        self,
        partition: int,
        part: _Part,
        member: str,
        job: Job,
        trigger: Trigger,
        state: str,
        code: str,
    ) -> None:
        job.state = state
        records = []
        if state != "sent":
            records.append(self._dead(trigger, job, state, code))
        receipt = self._receipt(trigger, job, state, code)
        if receipt is not None:
            records.append(receipt)
        # Told first, settled then: a crash between the two tells it twice, under one event id.
        await self._publisher.publish(records)
        update = LedgerUpdate(jobs={member: (None, job)}, counts={state: 1})
        await self._ledger.apply(partition, part.token, update)
        part.jobs.pop(member, None)
        self._meter.count("engine_deliver_triggers_total", outcome=state)

    def _dead(self, trigger: Trigger, job: Job, state: str, code: str) -> Outgoing:
        letter = {
            "id": trigger.id,
            "reason": f"delivery/{state}",
            "where": f"{job.endpoint}: {code}",
            "attempts": job.attempts,
            "original": job.trigger.decode(),
            "source": job.endpoint,
            "at": self._clock.now(),
        }
        return Outgoing(topics.DEAD_DELIVERIES, 0, trigger.id.encode(), orjson.dumps(letter))

    def _receipt(self, trigger: Trigger, job: Job, state: str, code: str) -> Outgoing | None:
        """Return the event that tells the customer's own state how it ended."""
        named = {k: v for k, v in trigger.keys.items() if k in ("user_id", "anonymous_id")}
        if trigger.entity != "person" or not named:
            return None
        kind = "user_id" if "user_id" in named else "anonymous_id"
        name = "delivery.sent" if state == "sent" else "delivery.failed"
        event = {
            "specversion": "1.0",
            "id": f"{trigger.id}|{job.endpoint}|{state}",
            "source": "deliver",
            "type": name,
            "data": {
                "trigger_id": trigger.id,
                "rule": trigger.rule,
                "endpoint": job.endpoint,
                "reason": code[:200],
                kind: named[kind],
            },
        }
        key = trigger.id
        return Outgoing(
            topics.INBOX,
            partition_of(key, self._count),
            key.encode(),
            orjson.dumps(event),
            (("key", self._engine_key),),
        )
