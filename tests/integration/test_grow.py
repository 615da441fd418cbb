"""`engine grow` on real parts: 4 partitions become 8 under load, docs/growing.md step by step."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.config import Settings
from engine.runtime.local.embedded import EmbeddedBroker
from engine.runtime.local.stack import Plan, Stack
from tests.crowd import check_people, check_triggers, send, the_load, until_settled
from tests.servers import started

ROOT = Path(__file__).parents[2]
GROWN_S = 60.0


@pytest.mark.redis
def test_a_log_grows_under_load(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    broker = EmbeddedBroker()
    monkeypatch.setenv("KAFKA_BOOTSTRAP", started(broker))
    old = Settings(any_key="demo", port=0, partitions=4)
    try:
        asyncio.run(_grow(old))
    finally:
        broker.stop()


async def _grow(old: Settings) -> None:
    batches = the_load(9)
    async with Stack(Plan(old)) as small:
        await send(small, batches[:4])
        await until_settled(small, sum(map(len, batches[:4])))
        first = await _engine("grow", "--partitions", "8", settings=small.settings)
        assert first["carried"] > 0 and not first["finished"]
        await send(small, batches[4:6])  # this door has not been told
        await check_triggers(small)
        sent = dict(await small.ledger.counts(range(4)))["sent"]
        endpoints, settings = small.settings.endpoints, small.settings
        await small.stop_role("collect")
        await small.stop_role("work")
        await small.stop_role("deliver")
        await small.stop_role("keep")
        large = Settings(any_key="demo", port=0, partitions=8, log_version=2, endpoints=endpoints)
        async with Stack(Plan(large, receiver=False)) as big:
            await send(big, batches[6:])
            assert max([(await big.store.meta(p)).clk for p in range(8)]) <= (
                max([(await small.store.meta(p)).now for p in range(4)])
            ), "time stands until all has come over"
            last = await _engine("grow", "--partitions", "8", "--finish", settings=settings)
            assert last["finished"] and last["passed_on"] > 0
            await until_settled(big, sum(map(len, batches)))
            await check_people(big, batches)
            await check_triggers(big)
            assert (await big.ledger.counts(range(8)))["sent"] >= sent, "what was sent is known"


async def _engine(*words: str, settings: Settings) -> dict[str, Any]:
    """Run `engine ...` with an installation's settings; return the JSON object that it prints."""
    environ = dict(os.environ)
    for name in ("redis_url", "kafka_bootstrap", "partitions", "generation", "endpoints"):
        environ[name.upper()] = str(getattr(settings, name))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "engine.cli.main", *words, "--json"),
        cwd=ROOT, env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), GROWN_S)
    assert process.returncode == 0, err.decode()[-2_000:]
    found: dict[str, object] = json.loads(out)
    return found
