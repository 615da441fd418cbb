"""`engine replay FILE --mapping M`: history through the log, in event time, on its own stack."""

import asyncio
import sys
from argparse import ArgumentParser, Namespace
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import orjson

from engine.cli.command import Command
from engine.cli.show import totals_table
from engine.clock import HOUR_MS
from engine.config import Settings
from engine.errors import ContractError, EngineError
from engine.events import topics
from engine.events.record import Outgoing
from engine.ingest.accept import Accepted
from engine.ingest.dead import dead_letter
from engine.runtime.learner import Learner
from engine.runtime.local.stack import Plan, Stack
from engine.runtime.past.history import History
from engine.runtime.past.mapped import SOURCE, accepted, mapped_messages

INTO_BATCH = 500


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="CSV, NDJSON, Parquet or columns; gzip too")
    parser.add_argument("--mapping", type=Path, required=True, help="topics/mappings/NAME.yaml")
    parser.add_argument("--into", metavar="URL", help="send to a running collector instead")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    parser.add_argument("--customers", type=Path, help="write every customer's card, a line each")


def _run(arguments: Namespace) -> int:
    messages = mapped_messages(arguments.file, arguments.mapping)
    if arguments.into:
        return asyncio.run(_into(arguments.into, messages))
    return asyncio.run(_replay(messages, arguments))


async def _into(url: str, messages: list[dict[str, Any]]) -> int:
    headers = {"content-type": "application/cloudevents-batch+json", "x-write-key": "history-key"}
    sent = 0
    async with aiohttp.ClientSession(headers=headers) as session:
        for at in range(0, len(messages), INTO_BATCH):
            batch = messages[at : at + INTO_BATCH]
            body = orjson.dumps(batch)
            async with session.post(f"{url.rstrip('/')}/cloudevents", data=body) as answer:
                if answer.status != 200:
                    text = (await answer.text())[:200]
                    raise EngineError(
                        f"{url} answered {answer.status}: {text}", code="replay/refused"
                    )
            sent += len(batch)
    print(f"{sent} events sent")
    return 0


async def _replay(messages: list[dict[str, Any]], arguments: Namespace) -> int:
    began = monotonic()
    settings = Settings()
    dead: Counter[str] = Counter()
    async with Stack(Plan(settings, roles=("work",), receiver=False)) as stack:
        learner = Learner(
            reader=stack.reader,
            publisher=stack.publisher,
            partition_count=settings.partitions,
            secret=settings.secret_key,
        )
        await learner.start()
        letters: list[Outgoing] = []

        def refused(message: dict[str, Any], raw: bytes, error: ContractError) -> None:
            dead[error.code] += 1
            letters.append(_letter(message, raw, error))

        found = list(accepted(settings, messages, refused))
        await stack.publisher.publish(letters)
        alone = all(len(each.event.ids) == 1 for each in found)
        history = History(
            stack.publisher, stack.store, stack.settings, tick_ms=HOUR_MS, alone=alone
        )
        learning = asyncio.create_task(_learn(learner))
        count = await history.load(found)
        learning.cancel()
        await learner.learn()
        await learner.checkpoint()
        await stack.offsets.note(accepted=count, dead=dead.total())
        totals = await stack.totals(final=True)
        if arguments.customers:
            await _write_customers(stack, found, arguments.customers)
    if arguments.json:
        print(orjson.dumps(asdict(totals)).decode(), flush=True)
    else:
        totals_table(totals, out=sys.stdout)
        print(f"{count / (monotonic() - began):,.0f} events/s, with the start of the stack")
    return 0


def _letter(message: dict[str, Any], raw: bytes, error: ContractError) -> Outgoing:
    name = f"{message['source']}:{message['id']}"
    letter = dead_letter(
        id=name, reason=error.code, where=str(error), original=raw, source=SOURCE, at=0
    )
    return Outgoing(topics.DEAD_EVENTS, 0, name.encode(), letter)


async def _learn(learner: Learner) -> None:
    while True:
        await learner.learn()
        await asyncio.sleep(0.5)


async def _write_customers(stack: Stack, events: list[Accepted], path: Path) -> None:
    """Write trade facts of every customer, for a check by another program."""
    lookup = stack.lookup()
    names = sorted({found.event.data["user_id"] for found in events})
    with path.open("wb") as out:
        for name in names:
            found = await lookup.by_identifier("user_id", name)
            assert found is not None, name
            trade = found.live.actor.trade
            line = {
                "user_id": name,
                "orders": trade.orders,
                "total_minor": trade.total_minor,
                "returns": trade.returns,
                "returned_minor": trade.returned_minor,
                "first_at": trade.first_at,
                "last_at": trade.last_at,
            }
            out.write(orjson.dumps(line) + b"\n")


SPEC = Command(
    name="replay", help="bring a file's history through the engine", configure=_configure, run=_run
)
