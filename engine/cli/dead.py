"""`engine dead list|show|retry`: what could not be taken, why, and once more when it is mended."""

import asyncio
import os
from argparse import ArgumentParser, Namespace
from base64 import b64decode
from collections.abc import AsyncIterator
from typing import Any

import orjson

from engine.adapters.kafka_client import KafkaPublisher, partition_count
from engine.adapters.kafka_reader import KafkaReader
from engine.cli.command import Command
from engine.clock import iso
from engine.config import Settings
from engine.errors import EngineError
from engine.events import topics
from engine.events.record import Outgoing, partition_of
from engine.runtime.setup import sources_of

SHOWN_BYTES = 60
READ_MAX = 500


def _configure(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="one line each")
    listing.add_argument("--reason", help="only of this reason, or of all that begin with it")
    show = actions.add_parser("show", help="one, whole, with its original bytes")
    show.add_argument("id")
    retry = actions.add_parser("retry", help="send the original to the inbox again")
    retry.add_argument("id", nargs="?")
    retry.add_argument("--reason", help="all of this reason")
    retry.add_argument("--key", help="source key to send it with; its own source's by default")
    for action in (listing, show, retry):
        action.add_argument("--json", action="store_true", help="print JSON")
        action.add_argument("--kafka", help="address of the broker (KAFKA_BOOTSTRAP)")


def _run(arguments: Namespace) -> int:
    environ = dict(os.environ)
    if arguments.kafka:
        environ["KAFKA_BOOTSTRAP"] = arguments.kafka
    return asyncio.run(_main(arguments, Settings.from_env(environ)))


async def _main(arguments: Namespace, settings: Settings) -> int:
    reader = KafkaReader(settings.kafka_bootstrap)
    try:
        letters = [letter async for letter in _letters(reader, settings)]
    finally:
        await reader.close()
    if arguments.action == "list":
        _list([x for x in letters if _is(x, arguments.reason)], as_json=arguments.json)
        return 0
    if arguments.action == "show":
        _show(_one(letters, arguments.id), as_json=arguments.json)
        return 0
    if not arguments.id and not arguments.reason:
        raise EngineError("which? name an ID, or --reason", code="dead/which")
    chosen = (
        [_one(letters, arguments.id)]
        if arguments.id
        else [x for x in letters if _is(x, arguments.reason)]
    )
    await _retry(chosen, settings, arguments.key)
    print(
        orjson.dumps({"retried": len(chosen)}).decode()
        if arguments.json
        else f"{len(chosen)} sent again"
    )
    return 0


async def _letters(reader: KafkaReader, settings: Settings) -> AsyncIterator[dict[str, Any]]:
    count = await asyncio.to_thread(partition_count, settings.kafka_bootstrap, topics.DEAD_EVENTS)
    for partition in range(count):
        offset, _ = await reader.bounds(topics.DEAD_EVENTS, partition)
        while found := await reader.read(topics.DEAD_EVENTS, partition, offset, count_max=READ_MAX):
            offset = found[-1].offset + 1
            for record in found:
                yield orjson.loads(record.value)


def _is(letter: dict[str, Any], reason: str | None) -> bool:
    return reason is None or str(letter["reason"]).startswith(reason)


def _one(letters: list[dict[str, Any]], name: str) -> dict[str, Any]:
    found = [letter for letter in letters if str(letter["id"]).startswith(name)]
    if not found:
        raise EngineError(
            f"no dead letter {name}; `engine dead list` shows all", code="dead/unknown"
        )
    return found[-1]


def _list(letters: list[dict[str, Any]], *, as_json: bool) -> None:
    for letter in letters:
        if as_json:
            print(orjson.dumps(letter).decode())
            continue
        original = b64decode(letter["original"])[:SHOWN_BYTES].decode("utf-8", "replace")
        print(f"{letter['id']:<34} {iso(letter['at'])} {letter['source']:<10} {letter['where']}")
        print(f"    {original}")
    if not as_json:
        print(f"{len(letters)} dead letters")


def _show(letter: dict[str, Any], *, as_json: bool) -> None:
    original = b64decode(letter["original"]).decode("utf-8", "replace")
    if as_json:
        print(orjson.dumps({**letter, "original": original}).decode())
        return
    for name in ("id", "reason", "where", "source"):
        print(f"{name:<9}{letter[name]}")
    print(f"{'at':<9}{iso(letter['at'])}\n\n{original}")


async def _retry(letters: list[dict[str, Any]], settings: Settings, key: str | None) -> None:
    sources = sources_of(settings)
    records = []
    for letter in letters:
        source = sources.by_name.get(letter["source"])
        own = key or (source.key if source else "")
        if not own:
            raise EngineError(
                f"{letter['id']} came from {letter['source']}, which has no key; use --key",
                code="dead/key",
            )
        if "sha256" in letter:
            raise EngineError(
                f"{letter['id']} was too large to be kept whole; send it again from its source",
                code="dead/cut",
            )
        original, name = b64decode(letter["original"]), str(letter["id"])
        partition = partition_of(name, settings.partitions)
        headers = (("key", own.encode()),)
        records.append(Outgoing(topics.INBOX, partition, name.encode(), original, headers))
    publisher = KafkaPublisher(settings.kafka_bootstrap)
    try:
        await publisher.publish(records)
    finally:
        await publisher.close()


SPEC = Command(
    name="dead", help="list, show and retry what could not be taken", configure=_configure, run=_run
)
