"""What a batch of topic `triggers` asks of us: jobs for endpoints, each trigger once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from engine.decision.model import GoalReached, Outbound, Trigger
from engine.delivery.model import Endpoint, Job
from engine.events.record import Record, header

AGAIN = "again"  # header of a trigger that is no new one: the endpoint that is to have it once more
_trigger = msgspec.json.Decoder(Trigger).decode
_decode = msgspec.json.Decoder(Outbound).decode


@dataclass(slots=True)
class Intake:
    """`oseq`: of the last record; `unreadable`: records that are no triggers, and why.

    `again`: jobs that staff want tried once more, though they were settled.
    """

    oseq: int
    jobs: dict[str, Job] = field(default_factory=dict)
    goals: list[GoalReached] = field(default_factory=list)
    unreadable: list[tuple[Record, str]] = field(default_factory=list)
    again: dict[str, Job] = field(default_factory=dict)


def member_of(trigger_id: str, endpoint: str) -> str:
    """Return the name of a job in the ledger."""
    return f"{trigger_id}|{endpoint}"


def take_in(records: Iterable[Record], endpoints: Sequence[Endpoint], *, oseq: int) -> Intake:
    """Return the jobs of records whose number is above `oseq`.

    Numbers grow without gap; one that does not was published twice by a writer that was frozen.
    """
    intake = Intake(oseq)
    for record in records:
        try:
            if (name := header(record.headers, AGAIN)) is not None:
                endpoint_name, known = name.decode(), _trigger(record.value)
                job = Job(record.value, endpoint_name, expires_at=known.expires_at)
                intake.again[member_of(known.id, endpoint_name)] = job
                continue
            number = int(header(record.headers, "oseq") or b"")
            if number <= intake.oseq:
                continue
            item = _decode(record.value)
        except (ValueError, msgspec.MsgspecError) as error:
            intake.unreadable.append((record, str(error)))
            continue
        intake.oseq = number
        if isinstance(item, GoalReached):
            intake.goals.append(item)
        elif isinstance(item, Trigger) and item.status == "live" and not item.held_out:
            for endpoint in endpoints:
                if endpoint.wants(item.rule, item.channels):
                    job = Job(record.value, endpoint.name, expires_at=item.expires_at)
                    intake.jobs[member_of(item.id, endpoint.name)] = job
    return intake
