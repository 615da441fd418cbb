"""`engine dump FILE`: the events of the log as NDJSON, to back-test rules without a broker."""

import asyncio
import gzip
import os
from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import orjson

from engine.adapters.files import read_contracts
from engine.cli.backtest import instant, progress
from engine.cli.command import Command
from engine.cli.language import add_language
from engine.config import Settings
from engine.errors import ConfigError
from engine.events import topics
from engine.events.contract import parse_contracts
from engine.rules.text.reader import nearest
from engine.runtime.connect import count_of, reader_of
from engine.runtime.past.dump import Dumped, Wanted, dump

MODE = 0o600  # what people did, and when: for who made it only
WORDS = {
    "en": {
        "done": "{events:,} events in {file}; try: engine backtest --events {file} --rules rules",
        "erased": "{erased:,} of people who were erased are not in it",
        "others": "{others:,} are of other times or types",
        "unreadable": "{unreadable:,} could not be read",
        "within": "In it: what people did and when, under keyed ids that only this installation "
        "can tie to a person. That is personal data still: keep it as such, and delete it.",
        "named": "Names, addresses and texts are in it as well (--personal).",
        "fields": "Left out as personal (of dates the year): {fields}",
    },
    "zh": {
        "done": "{file} 中有 {events:,} 个事件；"
        "试试：engine backtest --events {file} --rules rules",
        "erased": "已删除客户的 {erased:,} 个事件不在其中",
        "others": "{others:,} 个属于其他时间或类型",
        "unreadable": "{unreadable:,} 个无法读取",
        "within": "内容：客户做了什么、何时；标识为带密钥的散列，只有本系统能对应到人。"
        "它仍属个人信息：请妥善保管，用完删除。",
        "named": "其中也包含姓名、联系方式和文本（--personal）。",
        "fields": "作为个人信息未写入（日期只去掉年份）：{fields}",
    },
}


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="NDJSON; compressed if its name ends in .gz")
    parser.add_argument("--since", default="", help="events that came since, such as 2026-03-01")
    parser.add_argument("--until", default="", help="and before, such as 7d (ago)")
    parser.add_argument("--type", action="append", default=[], help="of these types only")
    parser.add_argument(
        "--personal", action="store_true", help="with names, addresses and texts, in clear"
    )
    parser.add_argument("--topics", default="topics", help="folder of the contracts (topics)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_language(parser)


def _run(arguments: Namespace) -> int:
    settings = replace(Settings.from_env(os.environ), topics_dir=arguments.topics)
    contracts = parse_contracts(read_contracts(settings.topics_dir))
    for name in arguments.type:
        if contracts.get(name) is None:
            hint = nearest(name, contracts.by_name)
            raise ConfigError(f"unknown event type '{name}'; {hint}", code="rules/unknown-event")
    wanted = Wanted(
        since=instant(arguments.since),
        until=instant(arguments.until),
        types=frozenset(arguments.type),
        personal=arguments.personal,
    )
    unfinished = arguments.file.with_name(arguments.file.name + ".part")
    try:
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, MODE), "wb") as f:
            zipped = arguments.file.suffix == ".gz"
            out = cast(BinaryIO, gzip.GzipFile(fileobj=f, mode="wb", mtime=0) if zipped else f)
            with out:
                told = asyncio.run(_dump(arguments, settings, wanted, out))
        unfinished.replace(arguments.file)  # one that was broken off is not taken for whole
    except OSError as error:
        raise ConfigError(f"cannot write it: {error}", where=str(arguments.file)) from None
    if arguments.json:
        print(orjson.dumps(_plain(told)).decode())
    else:
        _say(told, arguments)
    return 0


async def _dump(arguments: Namespace, settings: Settings, wanted: Wanted, out: BinaryIO) -> Dumped:
    reader = reader_of(settings)
    contracts = parse_contracts(read_contracts(settings.topics_dir))
    try:
        count = await asyncio.to_thread(count_of, settings, topics.EVENTS)
        bounds = [await reader.bounds(topics.EVENTS, partition) for partition in range(count)]
        total = 2 * sum(end - start for start, end in bounds)  # once for the erased, once for all
        with progress(total, quiet=arguments.json) as tell:
            return await dump(
                reader, count, contracts, wanted, out.write, secret=settings.secret_key, tell=tell
            )
    finally:
        await reader.close()


def _plain(told: Dumped) -> dict[str, Any]:
    counts = ("events", "erased", "others", "unreadable")
    return {**{name: getattr(told, name) for name in counts}, "left_out": sorted(told.fields)}


def _say(told: Dumped, arguments: Namespace) -> None:
    words, found = WORDS[arguments.lang], {**_plain(told), "file": arguments.file}
    print(words["done"].format(**found))
    for name in ("erased", "others", "unreadable"):
        if found[name]:
            print(words[name].format(**found))
    print(words["within"])
    if arguments.personal:
        print(words["named"])
    elif told.fields:
        print(words["fields"].format(fields=", ".join(sorted(told.fields))))


SPEC = Command(
    name="dump",
    help="write the events of the log to a file, to back-test rules without a broker",
    configure=_configure,
    run=_run,
)
