"""The deliver role: triggers from the log to webhooks, at least once, the same id on every attempt.

The ledger holds every job until it is settled, so an endpoint that is dead stops no partition and a
restart forgets none. A job is written before its first attempt and settled after its last.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from random import Random

from engine.delivery.intake import Intake, member_of, take_in
from engine.delivery.letters import dead, receipt, unreadable
from engine.delivery.model import HELD_MAX, Endpoint, Job
from engine.delivery.queue import Ticket
from engine.errors import EngineError, Fenced
from engine.events.record import Outgoing, Record
from engine.ports import Clock, Ledger, LedgerSnapshot, LedgerUpdate, Publisher, Sender
from engine.runtime.handover.attempt import (
    PUT_OFF_MS,
    Attempts,
    Lane,
    LookUp,
    Part,
    Verdict,
    trigger_of,
)
from engine.runtime.observe import Meter

QUEUE_MAX = 100_000  # jobs that wait for one endpoint; more are dead letters at once
IDLE_S = 0.2  # at most between two looks at the queues: expiry runs on another clock
NEVER = 2**63
BACKOFF_S, BACKOFF_S_MAX = 0.1, 5.0  # to write down how an attempt ended
FENCED_WAIT_MS = 5_000  # a zombie learns meanwhile that it was expelled, and gives up
DRAIN_S = 3.0  # attempts on their way when a partition is given up, or at the end
log = logging.getLogger(__name__)


class Dispatcher:
    """A consumer group's Handler over topic `triggers`; `run` makes the attempts.

    The rest of the parameters: see `Attempts`. `engine_key`: the key of source `engine`, under
    which receipts enter the inbox. `log_start`: first offset that the log still has.
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
        speed: float = 1.0,
        log_start: Callable[[int], Awaitable[int]] | None = None,
    ) -> None:
        self._endpoints = tuple(endpoints)
        self._lanes = {endpoint.name: Lane(endpoint) for endpoint in endpoints}
        self._ledger = ledger
        self._publisher = publisher
        self._clock = clock
        self._real_ms = real_ms
        self._meter = meter
        self._count = partition_count
        self._engine_key = engine_key
        self._log_start = log_start
        self._attempts = Attempts(
            sender=sender,
            clock=clock,
            real_ms=real_ms,
            lookup=lookup,
            meter=meter,
            random=random or Random(),
            speed=speed,
        )
        self._parts: dict[int, Part] = {}
        self._busy: dict[Ticket, asyncio.Task[None]] = {}
        self._seeking: dict[int, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()

    async def assigned(self, partition: int) -> int | None:
        """Take the partition's ledger over, with the jobs that are still to come."""
        part, found = await self._acquire(partition)
        self._take(partition, part, found)
        return part.next

    async def batch(self, partition: int, records: Sequence[Record]) -> int:
        """Write jobs for the triggers of a batch into the ledger; attempts run by themselves."""
        part = self._parts[partition]
        if part.moved or records[0].offset < part.next:
            part.moved = False
            return part.next  # taken over again meanwhile: the ledger knows where to go on
        intake = take_in(records, self._endpoints, oseq=part.oseq)
        known = await self._ledger.load(partition, list(intake.jobs))
        # A trigger that the fold made again has another number, but its id: known for 7 days.
        jobs = [
            (member, job)
            for (member, job), held in zip(intake.jobs.items(), known, strict=True)
            if held is None
        ]
        await self._publisher.publish(self._refused(intake, jobs))
        now = self._real_ms()
        update = LedgerUpdate(
            off_expected=part.off,
            off=records[-1].offset,
            oseq=intake.oseq,
            # All of them: what was known may be forgotten by now, if Redis fell back meanwhile, and
            # with it the fence that would have stopped us. The ledger keeps those that it has.
            jobs={
                member: (now, job) if job.state == "pending" else (None, job.settled())
                for member, job in intake.jobs.items()
            },
        )
        again = await self._open_again(partition, part, intake.again, now)
        await self._ledger.apply(partition, part.token, update)
        part.off, part.next, part.oseq = update.off, update.off + 1, update.oseq
        for member, job in jobs:
            if job.state == "pending":
                self._hold(part, partition, member, job, now)
        for member, job in again.items():
            self._hold(part, partition, member, job, now)
        for goal in intake.goals:
            arm = "held_out" if goal.held_out else "treated"
            self._meter.count("engine_goal_reached_total", rule=goal.rule, arm=arm)
        self._wake.set()
        return part.next

    async def _open_again(
        self, partition: int, part: Part, jobs: dict[str, Job], now: int
    ) -> dict[str, Job]:
        """Open jobs that staff want tried once more; not what was sent, or is tried still.

        Before the offset moves on: read once more, they are tried once more, under the same id.
        """
        if not jobs:
            return jobs
        found = await self._ledger.load(partition, list(jobs))
        opened = {
            member: job
            for (member, job), held in zip(jobs.items(), found, strict=True)
            if held is None or held.state not in ("sent", "pending")
        }
        update = LedgerUpdate(jobs={member: (now, job) for member, job in opened.items()})
        await self._ledger.apply(partition, part.token, update)
        return opened

    async def revoked(self, partition: int) -> None:
        """Let attempts on their way end, then forget the partition; a late one is fenced."""
        part = self._parts.get(partition)
        if part is None:
            return
        part.leaving = True
        mine = [task for ticket, task in self._busy.items() if ticket.partition == partition]
        if mine:
            await asyncio.wait(mine, timeout=DRAIN_S)
        if self._parts.get(partition) is part:
            del self._parts[partition]
            self._forget(partition)

    async def run(self, stop: asyncio.Event) -> None:
        """Start attempts when they are due, until told to stop; wait for those on their way."""
        while not stop.is_set():
            self._wake.clear()
            await self.step()
            try:
                await asyncio.wait_for(self._wake.wait(), self._idle_s())
            except TimeoutError:
                continue
        for task in await self.settle(timeout_s=DRAIN_S):
            task.cancel()

    async def step(self) -> None:
        """Start all attempts that are due by now and have room; wait for nothing."""
        self._find_again()
        self._start_due()

    async def settle(self, *, timeout_s: float | None = None) -> set[asyncio.Task[None]]:
        """Wait until no attempt is on its way; return those that still are after the time."""
        tasks = [*self._busy.values(), *self._seeking.values()]
        if not tasks:
            return set()
        _, late = await asyncio.wait(tasks, timeout=timeout_s)
        return late

    def _idle_s(self) -> float:
        dues = [at for lane in self._lanes.values() if (at := lane.queue.next_due()) is not None]
        soon = (min(dues, default=0) - self._real_ms()) / 1000
        return soon if 0 < soon < IDLE_S else IDLE_S

    def _find_again(self) -> None:
        """Take lost partitions over again: Redis may have lost our token, and nobody took it."""
        now = self._real_ms()
        for partition, part in self._parts.items():
            waited = part.lost_at and now - part.lost_at >= FENCED_WAIT_MS
            if waited and not part.leaving and partition not in self._seeking:
                part.lost_at = now
                seeking = asyncio.create_task(self._seek(partition, part))
                self._seeking[partition] = seeking

    async def _seek(self, partition: int, part: Part) -> None:
        try:
            again, found = await self._acquire(partition)
        except (EngineError, OSError, TimeoutError) as error:
            log.warning("ledger of partition %d: %s", partition, error)
            return
        finally:
            del self._seeking[partition]
        # Revoked meanwhile: then the new owner finds itself fenced once, and we are gone.
        if self._parts.get(partition) is part and not part.leaving:
            again.moved = True
            self._take(partition, again, found)

    async def _acquire(self, partition: int) -> tuple[Part, LedgerSnapshot]:
        token = secrets.token_hex(8)
        found = await self._ledger.acquire(partition, token)
        start = await self._log_start(partition) if self._log_start else 0
        return Part(token, found.off, max(found.off + 1, start), found.oseq), found

    def _take(self, partition: int, part: Part, found: LedgerSnapshot) -> None:
        self._forget(partition)
        self._parts[partition] = part
        for member, (due, job) in found.jobs.items():
            self._hold(part, partition, member, job, due)
        self._wake.set()

    def _start_due(self) -> None:
        now, log_now = self._real_ms(), self._clock.now()
        for lane in self._lanes.values():
            while lane.has_room:
                ticket = lane.queue.pop_expired(log_now)
                if ticket is None and lane.queue.is_due(now) and lane.may_try(now):
                    ticket = lane.queue.pop_due(now)
                if ticket is None:
                    break
                part = self._owned(ticket)
                if part is not None and now < part.paused_until:
                    lane.queue.push(ticket, part.paused_until, NEVER)
                elif part is not None and not part.leaving:
                    lane.running += 1
                    self._busy[ticket] = asyncio.create_task(self._attempt(lane, ticket))
        waiting = sum(len(lane.queue) for lane in self._lanes.values())
        self._meter.gauge("engine_deliver_due", waiting)

    async def _attempt(self, lane: Lane, ticket: Ticket) -> None:
        try:
            await self._deliver(lane, ticket)
        except (EngineError, OSError, TimeoutError) as error:
            log.warning("delivery %s: %s", ticket.member, error)
            if part := self._parts.get(ticket.partition):
                part.pause(self._real_ms())
            self._put_off(lane, ticket)
        except Exception:  # a bug in front of one job: the others go on, this one expires
            log.exception("delivery %s", ticket.member)
            self._put_off(lane, ticket)
        finally:
            lane.running -= 1
            del self._busy[ticket]
            self._wake.set()

    async def _deliver(self, lane: Lane, ticket: Ticket) -> None:
        part = self._parts[ticket.partition]
        job = part.jobs[ticket.member]
        if not job.trigger:  # of very many jobs the ledger alone has the bytes
            found = await self._ledger.load(ticket.partition, [ticket.member])
            if found[0] is None or found[0].state != "pending":
                part.jobs.pop(ticket.member, None)  # another owner has settled it meanwhile
                return
            job = found[0]
        verdict = await self._attempts.make(lane, job)
        job.state = verdict.state
        if await self._write_down(ticket, job, verdict):
            part = self._parts[ticket.partition]
            part.pause_ms = 0
            if verdict.due is None:
                part.jobs.pop(ticket.member, None)
                self._meter.count("engine_deliver_triggers_total", outcome=job.state)
            else:
                self._hold(part, ticket.partition, ticket.member, job, verdict.due, known=True)

    async def _write_down(self, ticket: Ticket, job: Job, verdict: Verdict) -> bool:
        """Tell and commit how an attempt ended, however long that takes: it is not sent again.

        Told first, committed then: a crash between the two tells it twice, under one event id.
        Returns False if the job is another owner's now.
        """
        told = verdict.due is not None
        wait_s = BACKOFF_S
        while (part := self._owned(ticket)) is not None:
            try:
                if not told:
                    await self._publisher.publish(await self._letters(part, ticket, job, verdict))
                    told = True
                held = job if verdict.due is not None else job.settled()
                update = LedgerUpdate(jobs={ticket.member: (verdict.due, held)})
                await self._ledger.apply(ticket.partition, part.token, update)
                return True
            except Fenced:
                log.info("partition %d: its ledger has another owner now", ticket.partition)
                part.lost_at = self._real_ms()
            except (EngineError, OSError, TimeoutError) as error:
                log.warning("delivery %s: %s; again in %.1f s", ticket.member, error, wait_s)
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, BACKOFF_S_MAX)
        return False

    async def _letters(
        self, part: Part, ticket: Ticket, job: Job, verdict: Verdict
    ) -> list[Outgoing]:
        trigger = trigger_of(job.trigger)
        part.jobs[ticket.member] = job  # its state, for those that ask about their siblings
        letters = []
        if job.state != "sent":
            letters.append(dead(trigger, job, verdict.code, at=self._clock.now()))
        if job.state == "sent" or await self._has_failed(part, ticket, trigger.id):
            letters.append(self._receipt(job, verdict.code))
        return letters

    async def _has_failed(self, part: Part, ticket: Ticket, trigger_id: str) -> bool:
        """Tell whether no endpoint took the trigger, or still may: then its cap is given back.

        What is parked may have arrived, so the cap stays used.
        """
        names = [member_of(trigger_id, endpoint.name) for endpoint in self._endpoints]
        others = [name for name in names if name != ticket.member]
        stored = await self._ledger.load(ticket.partition, others) if others else []
        jobs = [part.jobs.get(name) or job for name, job in zip(others, stored, strict=True)]
        states = {job.state for job in jobs if job is not None} | {part.jobs[ticket.member].state}
        return not states & {"sent", "pending", "parked"}

    def _refused(self, intake: Intake, jobs: Sequence[tuple[str, Job]]) -> list[Outgoing]:
        """Return letters about what is not taken; marks the jobs that find no room."""
        now = self._clock.now()
        letters = [
            unreadable(r.value, place=f"{r.topic}:{r.partition}:{r.offset}", why=why, at=now)
            for r, why in intake.unreadable
        ]
        for _, job in jobs:
            if len(self._lane(job.endpoint).queue) >= QUEUE_MAX:
                job.state = "failed"
                code = f"{QUEUE_MAX} triggers wait for this endpoint already"
                letters.append(dead(trigger_of(job.trigger), job, code, at=now))
                letters.append(self._receipt(job, code))
        return letters

    def _receipt(self, job: Job, code: str) -> Outgoing:
        return receipt(
            trigger_of(job.trigger), job, code, partition_count=self._count, key=self._engine_key
        )

    def _hold(
        self,
        part: Part,
        partition: int,
        member: str,
        job: Job,
        due: int,
        *,
        known: bool = False,
    ) -> None:
        if len(part.jobs) > HELD_MAX and not known:
            job = Job(b"", job.endpoint, expires_at=job.expires_at)
        part.jobs[member] = job
        ticket = Ticket(partition, member)
        if known or ticket not in self._busy:
            self._lane(job.endpoint).queue.push(ticket, due, job.expires_at)

    def _put_off(self, lane: Lane, ticket: Ticket) -> None:
        part = self._parts.get(ticket.partition)
        job = part.jobs.get(ticket.member) if part else None
        if job is not None:
            # By its due time only: one that has expired would come up again at once.
            lane.queue.push(ticket, self._real_ms() + PUT_OFF_MS, NEVER)

    def _owned(self, ticket: Ticket) -> Part | None:
        part = self._parts.get(ticket.partition)
        if part is None or part.lost_at or ticket.member not in part.jobs:
            return None
        return part

    def _lane(self, name: str) -> Lane:
        return self._lanes.setdefault(name, Lane(None))

    def _forget(self, partition: int) -> None:
        for lane in self._lanes.values():
            lane.queue.remove_partition(partition)
