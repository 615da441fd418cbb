"""What we tell ourselves passes our own door, and reaches the node that decided."""

from pathlib import Path

import orjson
import pytest

from engine.decision.model import Action, Trigger
from engine.delivery.letters import dead, receipt
from engine.delivery.model import Job
from engine.events.contract import parse_contracts
from engine.events.ids import birth_id, entity_id
from engine.ingest.accept import accept
from engine.ingest.sources import parse_sources

TOPICS = Path(__file__).parents[3] / "topics"
SECRET = b"0" * 32
PERSON = birth_id("phone", "+8613800138000", tenant="demo", secret=SECRET)
STORE = entity_id("store", "s1", tenant="demo", secret=SECRET)


def a_trigger(customer: str) -> Trigger:
    return Trigger(
        id="00ff",
        tenant="demo",
        rule="cart",
        rule_version="1",
        customer=customer,
        cause="e1",
        at=1,
        received_at=1,
        decided_at=1,
        expires_at=2,
        action=Action(type="offer", name="x"),
    )


def a_job(state: str) -> Job:
    return Job(b"{}", "crm", state=state, attempts=[(5, "500")])


@pytest.mark.parametrize("customer", [PERSON, STORE], ids=["person", "store"])
@pytest.mark.parametrize(
    ("state", "name"), [("sent", "delivery.sent"), ("expired", "delivery.failed")]
)
def test_a_receipt_passes_the_door_and_goes_home(customer: str, state: str, name: str) -> None:
    contracts = parse_contracts(
        {str(p): p.read_text() for p in [*TOPICS.glob("events/*.yaml"), TOPICS / "sets.yaml"]}
    )
    engine = parse_sources((TOPICS / "sources.yaml").read_text()).by_name["engine"]
    record = receipt(a_trigger(customer), a_job(state), "why", partition_count=8, key=engine.key)
    found = accept(
        orjson.loads(record.value),
        raw=record.value,
        source=engine,
        received_at=1_700_000_000_000,
        sent_at=None,
        contracts=contracts,
        secret=SECRET,
    )
    event = orjson.loads(found.value)
    assert found.key == customer
    assert event["type"] == name
    assert event["data"]["trigger_id"] == "00ff"
    assert record.headers == (("key", engine.key.encode()),)


def test_a_trigger_fails_under_one_event_id_whatever_the_endpoint() -> None:
    def event_id(endpoint: str, state: str) -> str:
        job = Job(b"{}", endpoint, state=state)
        record = receipt(a_trigger(PERSON), job, "why", partition_count=8, key="k")
        return str(orjson.loads(record.value)["id"])

    assert event_id("crm", "failed") == event_id("desk", "expired")
    assert event_id("crm", "sent") != event_id("desk", "sent")


def test_a_dead_letter_names_endpoint_and_attempts() -> None:
    letter = orjson.loads(dead(a_trigger(PERSON), a_job("failed"), "410", at=9).value)
    assert letter["reason"] == "delivery/failed"
    assert letter["where"] == "crm: 410"
    assert letter["attempts"] == [[5, "500"]]
    assert set(letter) == {"id", "reason", "where", "original", "source", "at", "attempts"}
