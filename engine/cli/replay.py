"""`engine replay FILE --mapping M`: history through the log, in event time, on its own stack."""

import asyncio
import sys
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import orjson

from engine.adapters.files import read_text
from engine.adapters.rows import rows
from engine.cli.command import Command
from engine.cli.show import totals_table
from engine.clock import HOUR_MS
from engine.config import Settings
from engine.errors import ContractError, EngineError, MappingError
from engine.events import topics
from engine.events.record import Outgoing
from engine.ingest.accept import Accepted, accept
from engine.ingest.dead import dead_letter
from engine.ingest.mapping import message_maker, parse_mapping
from engine.runtime.history import History
from engine.runtime.learner import Learner
from engine.runtime.setup import contracts_of, sources_of
from engine.runtime.stack import Plan, Stack

INTO_BATCH = 500


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="CSV, NDJSON, Parquet or columns; gzip too")
    parser.add_argument("--mapping", type=Path, required=True, help="topics/mappings/NAME.yaml")
    parser.add_argument("--into", metavar="URL", help="send to a running collector instead")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    parser.add_argument("--customers", type=Path, help="write every customer's card, a line each")


def _run(arguments: Namespace) -> int:
    where = str(arguments.mapping)
    mapping = parse_mapping(read_text(arguments.mapping), where=where)
    make = message_maker(mapping, file_name=arguments.file.name)
    messages: list[dict[str, Any]] = []
    for number, row in enumerate(rows(arguments.file, mapping), 1):
        message = make(number, row)
        if message is not None:
            messages.append(message)
    if not messages:
        raise MappingError("no row of the file counts; see `when` and `type`", where=where)
    messages.sort(
        key=lambda message: str(message["time"])
    )  # stable: rows of one time stay in order
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
        accepted = list(_accepted(settings, messages, letters, dead))
        await stack.publisher.publish(letters)
        alone = all(len(found.event.ids) == 1 for found in accepted)
        history = History(
            stack.publisher, stack.store, stack.settings, tick_ms=HOUR_MS, alone=alone
        )
        learning = asyncio.create_task(_learn(learner))
        count = await history.load(accepted)
        learning.cancel()
        await learner.learn()
        await learner.checkpoint()
        await stack.offsets.note(accepted=count, dead=dead.total())
        totals = await stack.totals(final=True)
        if arguments.customers:
            await _write_customers(stack, accepted, arguments.customers)
    if arguments.json:
        print(orjson.dumps(asdict(totals)).decode(), flush=True)
    else:
        totals_table(totals, out=sys.stdout)
        print(f"{count / (monotonic() - began):,.0f} events/s, with the start of the stack")
    return 0


async def _learn(learner: Learner) -> None:
    while True:
        await learner.learn()
        await asyncio.sleep(0.5)


def _accepted(
    settings: Settings,
    messages: list[dict[str, Any]],
    letters: list[Outgoing],
    dead: Counter[str],
) -> Iterator[Accepted]:
    source = sources_of(settings).by_name["history"]
    contracts = contracts_of(settings)
    for message in messages:
        raw = orjson.dumps(message)
        try:
            found = accept(
                message, raw=raw, source=source, received_at=0, sent_at=None,
                contracts=contracts, secret=settings.secret_key,
            )  # fmt: skip
        except ContractError as error:
            dead[error.code] += 1
            name = f"{message['source']}:{message['id']}"
            letter = dead_letter(
                id=name, reason=error.code, where=str(error), original=raw,
                source=source.name, at=0,
            )  # fmt: skip
            letters.append(Outgoing(topics.DEAD_EVENTS, 0, name.encode(), letter))
            continue
        yield found


async def _write_customers(stack: Stack, accepted: list[Accepted], path: Path) -> None:
    """Write trade facts of every customer, for a check by another program."""
    lookup = stack.lookup()
    names = sorted({found.event.data["user_id"] for found in accepted})
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
