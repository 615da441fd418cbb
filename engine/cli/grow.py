"""`engine grow --partitions N`: the log goes on with more partitions (docs/growing.md)."""

import asyncio
import os
import sys
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass, replace
from typing import Any

import orjson

from engine.adapters.http import HttpSender
from engine.adapters.kafka.topics import create_topics
from engine.adapters.redis.ledger import RedisLedger
from engine.adapters.redis.offsets import RedisOffsets
from engine.cli.command import Command
from engine.config import Settings
from engine.events import topics
from engine.runtime.growth import Growth, Pause, Side
from engine.runtime.roles import Engine, dispatcher_of
from engine.runtime.setup import topic_partitions, topic_specs

POLL_S = 0.2
TOLD_POLLS = 50


@dataclass(slots=True)
class Done:
    """What one run has done; `passed_on`: events that came behind the cut."""

    partitions: int
    log_version: int
    carried: int = 0
    deliveries: int = 0
    passed_on: int = 0
    finished: bool = False


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument("--partitions", type=int, required=True, help="how many there will be")
    parser.add_argument("--replication", type=int, default=1, help="copies of each partition (1)")
    parser.add_argument(
        "--finish",
        action="store_true",
        help="nobody writes to the old log any more: pass on the rest, and let time go on",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _run(arguments: Namespace) -> int:
    old = Settings.from_env(os.environ)
    new = replace(old, partitions=arguments.partitions, log_version=old.log_version + 1)
    done = asyncio.run(_grow(arguments, old, new))
    if arguments.json:
        print(orjson.dumps(done).decode())
        return 0
    print(
        f"carried {done.carried} nodes and entries, {done.deliveries} deliveries under way; "
        f"passed on {done.passed_on} events"
    )
    if done.finished:
        print("finished: ticks begin as soon as a `keep` of the new settings runs")
    else:
        print(
            f"now start everything with PARTITIONS={new.partitions} LOG_VERSION="
            f"{new.log_version}; when nothing runs with the old settings any more:\n"
            f"engine grow --partitions {new.partitions} --finish    (with the old settings)"
        )
    return 0


async def _grow(arguments: Namespace, old: Settings, new: Settings) -> Done:
    done = Done(new.partitions, new.log_version)
    log_topics = [
        replace(spec, name=topics.named(new.log_version)[spec.name])
        for spec in topic_specs(new, replication=arguments.replication)
        if spec.name in topics.LOG
    ]
    await asyncio.to_thread(create_topics, old.kafka_bootstrap, log_topics)
    counts = await asyncio.to_thread(topic_partitions, old)
    before, after, sender = Engine(old), Engine(new), HttpSender()
    ledgers = [RedisLedger(s.redis_url, s.space) for s in (old, new)]
    inbox = [RedisOffsets(s.redis_url, s.space) for s in (old, new)]
    passed_on = RedisOffsets(new.redis_url, new.space, key=new.space.bridge_key)
    sides = [
        Side(s.log_version, s.partitions, engine.store, ledger, engine.reader, engine.publisher)
        for s, engine, ledger in zip((old, new), (before, after), ledgers, strict=True)
    ]
    intake = dispatcher_of(before, ledgers[0], sender, inbox_count=counts[topics.INBOX])
    growth = Growth(
        *sides, passed_on=passed_on, intake=intake, secret=old.secret_key, pause=_pauses()
    )
    try:
        if not await growth.is_carried():
            await growth.cut()
            done.carried = await growth.carry()
            await inbox[1].begin_with(inbox[0], counts[topics.INBOX])
        if not arguments.finish:
            done.deliveries = await growth.carry_ledger()
        done.passed_on = await growth.pass_on()
        if arguments.finish:
            await growth.finish()
            done.finished = True
    finally:
        parts: list[Any] = [before, after, sender, *ledgers, *inbox, passed_on]
        for part in parts:
            await part.close()
    return done


def _pauses() -> Pause:
    """Return a pause that says now and then, on stderr, what is waited for."""
    polls = 0

    async def pause(what: str) -> None:
        nonlocal polls
        polls += 1
        if polls % TOLD_POLLS == 0:
            print(f"waiting for {what}", file=sys.stderr)
        await asyncio.sleep(POLL_S)

    return pause


SPEC = Command(
    name="grow", help="go on with more partitions of the log", configure=_configure, run=_run
)
