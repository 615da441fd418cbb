"""The demo's company, folded in memory: the same bytes under every Python.

    python -m tests.replay.company [INTERPRETER]

Prints a fingerprint of each part of the state. With an interpreter that has the engine, held
against what that one makes of the same company; 1 if they differ. Both on one machine: the last
digit of exp() and log() is the processor's.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from random import Random

import orjson

from engine.adapters.files import read_contracts, read_rules
from engine.churn.features import FEATURES
from engine.churn.mbg import Mbg
from engine.churn.model import Model
from engine.clock import HOUR_MS
from engine.config import Settings
from engine.events.contract import parse_contracts
from engine.events.model import Event
from engine.ingest.accept import accept
from engine.outcome import Outcome
from engine.pipeline.book import Book, default_lateness
from engine.pipeline.envelope import Arrival
from engine.pipeline.state import Partition, encode_entry, encode_node
from engine.rules.compile import compile_rules
from engine.runtime.setup import sources_of
from engine.simulation.messages import Sender
from engine.simulation.past import MODEL, Past
from engine.simulation.population import Company, Timed

ROOT = Path(__file__).parents[2]
OPENS_MS = 1_773_100_000_000
PEOPLE = 60
PRESENT_MS = 2 * HOUR_MS
RATE_PER_S = 1.0
REVIEWS = 600
SETTINGS = Settings(topics_dir=str(ROOT / "topics"), rules_dir=str(ROOT / "rules"))
CONTRACTS = parse_contracts(read_contracts(SETTINGS.topics_dir))


# Amounts are whole minor units and their sums exact; moods are neither.
MOODS = """rule: moods
title: What each review brings the mood to
why: Sums show their last digit.
owner: a@shop.example
status: live
when: [{event: review.posted}]
do:
  - case: service-recovery
    fields: {mood: "{{ sum('review.posted', it.sentiment, 90d) }}"}
"""


@cache
def events() -> list[tuple[Event, bytes]]:
    """Return what happens to the company, as the door takes it: events and their bytes."""
    company = Company(7, people=PEOPLE, opens_ms=OPENS_MS)
    messages = company.history()
    for at, message in company.present(RATE_PER_S):
        if at > OPENS_MS + PRESENT_MS:
            break
        messages.append((at, message))
    messages = sorted([*messages, *_reviews(company)], key=lambda timed: timed[0])
    source, found = sources_of(SETTINGS).by_name["history"], []
    for at, message in messages:
        taken = accept(
            message, raw=orjson.dumps(message), source=source, received_at=at, sent_at=None,
            contracts=CONTRACTS, secret=SETTINGS.secret_key,
        )  # fmt: skip
        found.append((taken.event, taken.value))
    return found


def _reviews(company: Company) -> Iterator[Timed]:
    random = Random(7)
    sender = Sender(random, "review")
    for at in range(OPENS_MS, OPENS_MS + PRESENT_MS, PRESENT_MS // REVIEWS):
        person, mood = random.choice(company.people), random.uniform(-1.0, 1.0)
        yield at, sender.track(person, "review.posted", at, sentiment=mood, stars=3)


def fingerprints() -> dict[str, str]:
    """Fold the company under the project's rules; return part -> fingerprint."""
    rules = compile_rules(
        {**read_rules(SETTINGS.rules_dir), "rules/moods.yaml": MOODS}, CONTRACTS, version="v1"
    )
    book = Book(SETTINGS.secret_key, {rules.version: rules}, {MODEL: _model()}, default_lateness)
    triggers: list[bytes] = []

    def heard(_state: Partition, _arrival: Arrival, outcome: Outcome) -> None:
        triggers.extend(repr(trigger).encode() for trigger in outcome.triggers)

    past = Past(book, heard, version=rules.version)
    for event, value in events():
        past.event(event, value)
    past.end()
    state = past.state
    nodes = (name.encode() + (encode_node(node) or b"") for name, node in state.nodes.items())
    entries = (name.encode() + (encode_entry(e) or b"") for name, e in state.entries.items())
    return {
        "events": _of(value for _, value in events()),
        "nodes": _of(sorted(nodes)),
        "entries": _of(sorted(entries)),
        "timers": _of(repr(timer).encode() for timer in sorted(state.timers.items())),
        "triggers": _of(triggers),
        "counts": _of(repr(count).encode() for count in sorted(past.counts.items())),
    }


def _model() -> Model:
    """Return a model whose linear part has a say, as after some months."""
    random = Random(1)
    return Model(
        MODEL, mbg=Mbg(), weights=[random.uniform(-0.4, 0.4) for _ in FEATURES], bias=-0.3,
        mix=0.5, horizon_days=60.0, norms={},
    )  # fmt: skip


def _of(parts: Iterable[bytes]) -> str:
    found = list(parts)
    return f"{len(found)} {sha256(orjson.dumps([part.hex() for part in found])).hexdigest()}"


def main() -> int:
    """Print the fingerprints, and hold them against those of another interpreter."""
    mine = fingerprints()
    print(json.dumps(mine, indent=2))
    if not sys.argv[1:]:
        return 0
    command = [sys.argv[1], "-m", "tests.replay.company"]
    other = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)
    differ = sorted(part for part in mine if mine[part] != other[part])
    print(f"{command[0]}: {', '.join(differ) or 'nothing'} differs")
    return bool(differ)


if __name__ == "__main__":
    sys.exit(main())
