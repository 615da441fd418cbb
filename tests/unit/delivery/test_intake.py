"""Which records of topic `triggers` become jobs, by their numbers alone."""

import msgspec

from engine.decision.model import Action, Trigger
from engine.delivery.intake import take_in
from engine.delivery.model import Endpoint
from engine.events.record import Record

CRM = Endpoint("crm", "https://crm.example/", ("whsec_",))
DESK = Endpoint("desk", "https://desk.example/", ("whsec_",), channels=("desk",))


def record(number: int, name: str, channels: list[str]) -> Record:
    item = Trigger(
        id=name,
        tenant="demo",
        rule="cart",
        rule_version="1",
        customer="1pabc",
        cause="e1",
        at=1,
        received_at=1,
        decided_at=1,
        expires_at=77,
        action=Action(type="offer", name="x"),
        channels=channels,
    )
    value = msgspec.json.encode(item)
    return Record("triggers", 0, 9, b"k", value, (("oseq", b"%d" % number),))


def test_a_number_that_was_seen_makes_no_job() -> None:
    records = [record(4, "a", []), record(5, "b", []), record(6, "c", []), record(6, "d", [])]
    intake = take_in(records, [CRM], oseq=5)
    assert list(intake.jobs) == ["c|crm"]
    assert intake.oseq == 6


def test_each_endpoint_that_wants_a_trigger_gets_a_job_of_its_own() -> None:
    records = [record(1, "a", ["email"]), record(2, "b", ["desk"])]
    intake = take_in(records, [CRM, DESK], oseq=0)
    assert list(intake.jobs) == ["a|crm", "b|crm", "b|desk"]
    job = intake.jobs["b|desk"]
    assert (job.trigger, job.endpoint, job.expires_at) == (records[1].value, "desk", 77)


def test_nothing_read_leaves_the_number_as_it_was() -> None:
    assert take_in([], [CRM], oseq=5).oseq == 5
