"""What is told when a trigger has met its end: an event for the customer, a dead letter for us."""

import orjson

from engine.decision.model import Trigger
from engine.delivery.model import ERASED, Job
from engine.events import topics
from engine.events.record import Outgoing, partition_of
from engine.ingest.dead import dead_letter


def dead(trigger: Trigger, job: Job, code: str, *, at: int) -> Outgoing:
    """Return the dead letter of a job, with its attempts ([real ms, code] each).

    Of an erased customer it says which trigger and why, and holds nothing of what it said.
    """
    letter = dead_letter(
        id=trigger.id,
        reason=f"delivery/{job.state}",
        where=f"{job.endpoint}: {code}",
        original=b"" if code == ERASED else job.trigger,
        source=job.endpoint,
        at=at,
    )
    body = orjson.dumps({**orjson.loads(letter), "attempts": job.attempts})
    return Outgoing(topics.DEAD_DELIVERIES, 0, trigger.id.encode(), body)


def unreadable(value: bytes, *, place: str, why: str, at: int) -> Outgoing:
    """Return the dead letter of a record of `triggers` that is no trigger."""
    letter = dead_letter(
        id=place,
        reason="delivery/unreadable",
        where=why,
        original=value,
        source=topics.TRIGGERS,
        at=at,
    )
    return Outgoing(topics.DEAD_DELIVERIES, 0, place.encode(), letter)


def receipt(trigger: Trigger, job: Job, code: str, *, partition_count: int, key: str) -> Outgoing:
    """Return the event that tells the node that decided how it ended; `key`: the engine's own.

    A trigger fails once, however many endpoints it was for: its cap is given back once.
    """
    sent = job.state == "sent"
    event = {
        "specversion": "1.0",
        "id": f"{trigger.id}|{job.endpoint}|sent" if sent else f"{trigger.id}|failed",
        "source": "deliver",
        "type": "delivery.sent" if sent else "delivery.failed",
        "data": {
            "trigger_id": trigger.id,
            "rule": trigger.rule,
            "endpoint": job.endpoint,
            "reason": code,
            "customer": trigger.customer,
        },
    }
    return Outgoing(
        topics.INBOX,
        partition_of(trigger.id, partition_count),
        trigger.id.encode(),
        orjson.dumps(event),
        (("key", key.encode()),),
    )
