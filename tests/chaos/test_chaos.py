"""Chaos in its short form: one seed, every kind of fault at least once (`make chaos`: longer)."""

import asyncio
import shutil

import pytest

from tests.apache.broker import missing_tools
from tests.chaos.run import play
from tests.servers import unavailable

SEED = 11
SECONDS = 45.0


@pytest.mark.apache
def test_nothing_is_lost_doubled_or_wrong_whatever_dies() -> None:
    missing = [*missing_tools(), *([] if shutil.which("redis-server") else ["redis-server"])]
    if missing:
        unavailable(f"chaos needs {' and '.join(missing)} on PATH")
    found = asyncio.run(play(SEED, SECONDS))
    assert found["verdict"] == "passed", found
