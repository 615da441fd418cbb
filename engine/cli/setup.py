"""`engine setup`: create the topics and publish the rules, once for a new installation."""

import asyncio
import os
from argparse import ArgumentParser, Namespace

from engine.adapters.kafka.topics import create_topics, wait_ready
from engine.cli.command import Command
from engine.config import Settings
from engine.runtime.connect import publisher_of, reader_of
from engine.runtime.rulesets.releases import read_shelf
from engine.runtime.setup import publish_rules, topic_specs


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument("--replication", type=int, default=1, help="copies of each partition (1)")
    parser.add_argument("--version", default="v1", help="of the rule set (v1)")


def _run(arguments: Namespace) -> int:
    settings = Settings.from_env(os.environ)
    wait_ready(settings.kafka_bootstrap)
    specs = topic_specs(settings, replication=arguments.replication)
    create_topics(settings.kafka_bootstrap, specs)
    live = asyncio.run(_publish(settings, arguments.version))
    print(f"{len(specs)} topics, rule set {live}")
    return 0


async def _publish(settings: Settings, version: str) -> str:
    """Publish the rules folder as the first rule set; return what is live, which may be older."""
    publisher, reader = (
        publisher_of(settings),
        reader_of(settings),
    )
    try:
        shelf = await read_shelf(reader, settings.secret_key)
        if not shelf.live:
            await publish_rules(settings, publisher, version)
        return shelf.live or version
    finally:
        await publisher.close()
        await reader.close()


SPEC = Command(
    name="setup", help="create topics and publish the rules", configure=_configure, run=_run
)
