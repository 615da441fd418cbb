"""`engine dead list|show|retry`: what could not be taken, why, and once more when it is mended."""

import asyncio
import os
from argparse import ArgumentParser, Namespace
from base64 import b64decode
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import orjson

from engine.cli.command import Command
from engine.clock import iso
from engine.config import Settings
from engine.decision.model import Trigger
from engine.delivery.intake import AGAIN
from engine.errors import EngineError
from engine.events import topics
from engine.events.record import Outgoing, partition_of
from engine.ingest.sources import Sources
from engine.ports import Reader
from engine.runtime.connect import count_of, publisher_of, reader_of
from engine.runtime.setup import sources_of

SHOWN_LENGTH = 90
READ_MAX = 500
KEYS = {"id", "reason", "where", "original", "source", "at"}
Letter = dict[str, Any]


def _configure(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="one line each")
    listing.add_argument("--reason", help="only of this reason, or of all that begin with it")
    show = actions.add_parser("show", help="one, whole, with its original bytes")
    show.add_argument("id")
    retry = actions.add_parser("retry", help="send the original again, to the inbox or an endpoint")
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
    if arguments.action == "retry" and not arguments.id and not arguments.reason:
        raise EngineError("which? name an ID, or --reason", code="dead/which")
    reader = reader_of(settings)
    try:
        letters: list[Letter] = []
        for topic in (topics.DEAD_EVENTS, topics.DEAD_DELIVERIES):
            count = await asyncio.to_thread(count_of, settings, topic)
            letters += [letter async for letter in letters_of(reader, count, topic)]
    finally:
        await reader.close()
    if arguments.action == "list":
        _list(chosen(letters, reason=arguments.reason), as_json=arguments.json)
    elif arguments.action == "show":
        _show(chosen(letters, id=arguments.id)[-1], as_json=arguments.json)
    else:
        found = chosen(letters, id=arguments.id, reason=arguments.reason)
        await _retry(found, settings, arguments.key, as_json=arguments.json)
    return 0


async def _retry(
    letters: list[Letter], settings: Settings, key: str | None, *, as_json: bool
) -> None:
    records, left = again(
        letters, sources_of(settings), partition_count=settings.partitions, key=key
    )
    publisher = publisher_of(settings)
    try:
        await publisher.publish(records)
    finally:
        await publisher.close()
    if as_json:
        print(orjson.dumps({"retried": len(records), "left": left}).decode())
        return
    print(f"{len(records)} sent again")
    for name, why in left.items():
        print(f"{name} stays: {why}")


async def letters_of(
    reader: Reader, count: int, topic: str = topics.DEAD_EVENTS
) -> AsyncIterator[Letter]:
    """Yield every dead letter of `count` partitions; what is none of ours is passed over."""
    for partition in range(count):
        offset, _ = await reader.bounds(topic, partition)
        while found := await reader.read(topic, partition, offset, count_max=READ_MAX):
            offset = found[-1].offset + 1
            for record in found:
                try:
                    letter = orjson.loads(record.value)
                except orjson.JSONDecodeError:
                    continue
                if isinstance(letter, dict) and letter.keys() >= KEYS:
                    yield letter


def chosen(
    letters: list[Letter], *, id: str | None = None, reason: str | None = None
) -> list[Letter]:
    """Return the letters of an id (or its beginning), or of a reason (or its beginning), or all.

    One event may have died more than once, so its id may have more than one letter.

    Raises
    ------
    EngineError
        dead/unknown if there is no letter of the id; dead/which if it begins several ids.
    """
    if id is None:
        return [x for x in letters if reason is None or str(x["reason"]).startswith(reason)]
    found = [x for x in letters if x["id"] == id] or [
        x for x in letters if str(x["id"]).startswith(id)
    ]
    if not found:
        raise EngineError(f"no dead letter {id}; `engine dead list` shows all", code="dead/unknown")
    names = sorted({str(x["id"]) for x in found})
    if len(names) > 1:
        raise EngineError(
            f"{id} begins {len(names)} ids: {', '.join(names[:5])}; write more of it",
            code="dead/which",
        )
    return found


def again(
    letters: list[Letter], sources: Sources, *, partition_count: int, key: str | None = None
) -> tuple[list[Outgoing], dict[str, str]]:
    """Return the records that letters become, one an original, and why each other one stays.

    An event goes to the inbox; a trigger to its own partition of `triggers`, with the name of the
    endpoint that is to have it once more.
    """
    records: dict[tuple[str, bytes], Outgoing] = {}
    left: dict[str, str] = {}
    for letter in letters:
        name, source = str(letter["id"]), sources.by_name.get(letter["source"])
        own = key or (source.key if source else "")
        original = b64decode(letter["original"])
        if letter["reason"].startswith("delivery/"):
            customer = _customer(original)
            if customer is None:
                left[name] = "nothing of the trigger was kept"
                continue
            partition, endpoint = partition_of(customer, partition_count), str(letter["source"])
            records[f"{name}|{endpoint}", original] = Outgoing(
                topics.TRIGGERS, partition, customer.encode(), original,
                ((AGAIN, endpoint.encode()),),
            )  # fmt: skip
        elif "sha256" in letter:
            left[name] = f"{letter['size']} bytes were too large to be kept; its source has it"
        elif not own:
            left[name] = f"{letter['source']} has no key; use --key"
        else:
            partition = partition_of(name, partition_count)
            headers = (("key", own.encode()),)
            records[name, original] = Outgoing(
                topics.INBOX, partition, name.encode(), original, headers
            )
    return list(records.values()), left


def _customer(original: bytes) -> str | None:
    """Return the node that decided a trigger, None where it is not one (or only its beginning)."""
    try:
        return msgspec.json.decode(original, type=Trigger).customer
    except msgspec.MsgspecError:
        return None


def _list(letters: list[Letter], *, as_json: bool) -> None:
    for letter in letters:
        if as_json:
            print(orjson.dumps(letter).decode())
            continue
        where = visible(str(letter["where"]))
        print(
            f"{letter['id']:<34} {letter['reason']:<20} {letter['source']:<10} {iso(letter['at'])}"
        )
        print(f"    {where}")
        print(f"    {visible(_text(letter)[:SHOWN_LENGTH])}")
    if not as_json:
        print(f"{len(letters)} dead letters")


def _show(letter: Letter, *, as_json: bool) -> None:
    if as_json:
        print(orjson.dumps({**letter, "original": _text(letter)}).decode())
        return
    for name in ("id", "reason", "where", "source"):
        print(f"{name:<9}{visible(str(letter[name]))}")
    print(f"{'at':<9}{iso(letter['at'])}\n")
    print("\n".join(visible(line) for line in _text(letter).split("\n")))


def _text(letter: Letter) -> str:
    return b64decode(letter["original"]).decode("utf-8", "replace")


def visible(text: str) -> str:
    """Return a line that is safe on a terminal: strangers wrote it, escape sequences and all."""
    return "".join(c if c.isprintable() else "\N{MIDDLE DOT}" for c in text)


SPEC = Command(
    name="dead", help="list, show and retry what could not be taken", configure=_configure, run=_run
)
