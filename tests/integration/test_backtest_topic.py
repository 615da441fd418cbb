"""`engine backtest` over a real log: the live rules decide once more exactly as the workers did."""

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from random import Random

import msgspec
import orjson
import pytest

from engine.adapters.kafka_reader import KafkaReader
from engine.config import Settings
from engine.events import topics
from engine.events.record import header
from engine.ingest.accept import Accepted
from engine.runtime.history import History
from engine.runtime.stack import Plan, Stack
from tests.simulation.test_backtest import HEAD, KEEN, LEFT, story
from tests.turns import ROOT

pytestmark = [pytest.mark.broker, pytest.mark.redis]
START_MS = 1_772_596_800_000
SETTINGS = Settings(tenant="t", partitions=2)
RULES = {
    "keen.yaml": KEEN + HEAD.format(status="live"),
    "left.yaml": LEFT + HEAD.format(status="live"),
}


def backtest(env: dict[str, str], *more: str) -> dict[str, object]:
    """Run the command as a user would; return its JSON."""
    command = [sys.executable, "-m", "engine.cli.main", "backtest", "--json", *more]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, object] = json.loads(done.stdout)
    return found


async def left_live(bootstrap: str) -> dict[str, tuple[str, int]]:
    """Return the triggers that the workers published: id -> (rule, at)."""
    reader, found = KafkaReader(bootstrap), {}
    for partition in range(SETTINGS.partitions):
        offset = 0
        while records := await reader.read(topics.TRIGGERS, partition, offset, count_max=500):
            offset = records[-1].offset + 1
            assert all(header(record.headers, "oseq") for record in records)
            for record in records:
                item = orjson.loads(record.value)
                if item["type"] == "trigger" and not item.get("held_out"):
                    found[item["id"]] = (item["rule"], item["at"])
    await reader.close()
    return found


async def lived(folder: Path) -> None:
    """Let workers live through a story; back-test it while its log is there."""
    events = [
        Accepted(event, event.ids[0], msgspec.json.encode(event))
        for event in story(Random(7), now=START_MS, people=20, events=300)
    ]
    async with Stack(Plan(SETTINGS, roles=("work",), receiver=False, rules=RULES)) as stack:
        history = History(stack.publisher, stack.store, stack.settings, tick_ms=300_000)
        await history.load(events)
        await stack.totals(final=True)
        env = {name.upper(): str(value) for name, value in asdict(stack.settings).items()}
        live = await left_live(stack.settings.kafka_bootstrap)
        run = asyncio.to_thread
        same = await run(backtest, env, "--events", "topic", "--decisions", str(folder / "out"))
        (folder / "keen.yaml").write_text(RULES["keen.yaml"])
        other = await run(backtest, env, "--events", "topic", "--rules", str(folder))
        one = await run(
            backtest, env, "--events", "topic", "--rules", str(folder / "keen.yaml")
        )
    lines = [orjson.loads(line) for line in (folder / "out").read_bytes().splitlines()]
    assert {line["id"]: (line["rule"], line["at"]) for line in lines} == live
    assert len(live) > 20 and {rule for rule, _ in live.values()} == {"keen", "left"}
    assert same["events"] == len(events)
    assert same["decisions"] == len(live)
    assert other["diff"]["fewer"].keys() == {"left"} and other["diff"]["same"] > 0  # type: ignore[index]
    assert one["diff"]["is_same"], "a file takes its place among the live ones"  # type: ignore[index]


def test_the_live_rules_back_tested_over_the_topic_decide_as_the_workers_did(
    tmp_path: Path,
) -> None:
    asyncio.run(lived(tmp_path))
