"""One attempt: is the trigger still wanted, hand it over, and what does the answer mean."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random

import msgspec

from engine.decision.model import Trigger
from engine.decision.reach import reachable
from engine.delivery.channels.webhook import SPEC as WEBHOOK
from engine.delivery.model import ERASED, Endpoint, Job, Receipt
from engine.delivery.queue import Queue
from engine.delivery.retry import Breaker, next_attempt
from engine.ports import Clock, Sender
from engine.profile.model import Actor
from engine.runtime.observe import Meter

PUT_OFF_MS, PUT_OFF_MS_MAX = 1_000, 30_000  # attempts that could not even begin
LookUp = Callable[[str], Awaitable[Actor | None]]
trigger_of = msgspec.json.Decoder(Trigger).decode
_json = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Lane:
    """The way to one endpoint; `endpoint` None: jobs of one that is configured no more.

    `gone`: it answered 410; only a restart, with a look at the configuration, brings it back.
    """

    endpoint: Endpoint | None
    queue: Queue = field(default_factory=Queue)
    breaker: Breaker = field(default_factory=Breaker)
    running: int = 0
    gone: bool = False

    @property
    def has_room(self) -> bool:
        """Tell whether one more attempt may run beside the others."""
        return self.running < (self.endpoint.concurrency if self.endpoint else 1)

    def may_try(self, now: int) -> bool:
        """Tell whether an attempt may begin; without an endpoint there is nothing to spare."""
        return self.endpoint is None or self.gone or self.breaker.may_try(now)


@dataclass(slots=True)
class Part:
    """What this process holds of one trigger partition; `next`: the offset that comes next.

    `paused_until`: real ms before which its store or log is not troubled again.
    """

    token: str
    off: int
    next: int
    oseq: int
    jobs: dict[str, Job] = field(default_factory=dict)
    lost_at: int = 0  # real ms at which the ledger said that another owns it
    leaving: bool = False
    moved: bool = False  # taken over again meanwhile: what is being read is of an earlier time
    paused_until: int = 0
    pause_ms: int = 0

    def pause(self, now: int) -> None:
        """Begin no attempt for a while; longer each time, until one went well."""
        if now >= self.paused_until:
            self.pause_ms = min(max(PUT_OFF_MS, 2 * self.pause_ms), PUT_OFF_MS_MAX)
            self.paused_until = now + self.pause_ms


@dataclass(frozen=True, slots=True)
class Verdict:
    """How an attempt ended: a settled state of the job, or `pending` and when to try again."""

    state: str
    code: str
    due: int | None = None


class Attempts:
    """Makes attempts; knows nothing of partitions and keeps nothing.

    `real_ms`: the wall clock, for retries; `clock`: log time, which runs `speed` times as fast.
    `lookup` returns the customer's state as of now, None if erased; it may raise EngineError:
    then nothing is sent.
    """

    def __init__(
        self,
        *,
        sender: Sender,
        clock: Clock,
        real_ms: Callable[[], int],
        lookup: LookUp,
        meter: Meter,
        random: Random,
        speed: float,
    ) -> None:
        self._sender = sender
        self._clock = clock
        self._real_ms = real_ms
        self._lookup = lookup
        self._meter = meter
        self._random = random
        self._speed = speed

    async def make(self, lane: Lane, job: Job) -> Verdict:
        """Try a job once; `job.attempts` has the attempt afterwards."""
        trigger = trigger_of(job.trigger)
        if self._clock.now() > trigger.expires_at:
            return Verdict("expired", _last(job, "expired"))
        endpoint = lane.endpoint
        if endpoint is None or lane.gone:
            return Verdict("failed", "the endpoint is gone")
        body, refused = await self._body(trigger, job.trigger)
        if refused:
            return Verdict("refused", refused)
        began, handed_over = self._real_ms(), self._clock.now()
        request = WEBHOOK.render(endpoint, trigger.id, body, began // 1000, handed_over)
        receipt = WEBHOOK.read(await self._sender.send(request))
        job.note(began, receipt.code)
        lane.breaker.note(receipt, self._real_ms())
        lane.gone = lane.gone or receipt.outcome == "gone"
        self._meter.count(
            "engine_deliver_attempts_total", endpoint=endpoint.name, outcome=receipt.outcome
        )
        if receipt.outcome == "accepted" and not trigger.waited:
            late_ms = max(0, handed_over - trigger.received_at) / self._speed
            self._meter.observe("engine_deliver_seconds", late_ms / 1000)
        return self._verdict(endpoint, job, receipt)

    def _verdict(self, endpoint: Endpoint, job: Job, receipt: Receipt) -> Verdict:
        if receipt.outcome == "accepted":
            return Verdict("sent", receipt.code)
        if receipt.outcome == "gone":
            return Verdict("failed", "410: the endpoint is gone")
        if receipt.outcome == "unknown" and endpoint.on_unknown == "park":
            return Verdict("parked", receipt.code)
        due = next_attempt(
            len(job.attempts),
            self._real_ms(),
            self._random,
            retry_after_ms=receipt.retry_after_ms,
        )
        return Verdict("pending", receipt.code, due)

    async def _body(self, trigger: Trigger, value: bytes) -> tuple[bytes, str]:
        """Return (body, '') with consent as of now, or ('', why it must not be sent)."""
        if trigger.entity != "person":
            return value, ""
        actor = await self._lookup(trigger.customer)
        if actor is None:
            return b"", ERASED
        if trigger.kind == "service":
            return value, ""
        if trigger.group and actor.suppressed.get(trigger.group, 0) > self._clock.now():
            return b"", "suppressed"
        if not trigger.channels:
            return value, ""
        channels = reachable(actor, tuple(trigger.channels), service=False)
        if not channels:
            return b"", "consent was withdrawn"
        if channels == trigger.channels:
            return value, ""
        return _json(msgspec.structs.replace(trigger, channels=channels)), ""


def _last(job: Job, otherwise: str) -> str:
    return job.attempts[-1][1] if job.attempts else otherwise
