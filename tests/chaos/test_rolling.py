"""Three brokers, restarted one after the other under load: nothing stands still for long."""

import asyncio
from time import monotonic

import pytest

from tests.apache.broker import missing_tools
from tests.apache.cluster import BROKERS, ApacheCluster
from tests.chaos.channels import Channels
from tests.chaos.compare import Found, compare
from tests.chaos.load import Load
from tests.chaos.run import drain
from tests.chaos.town import Town
from tests.servers import unavailable

RATE = 60.0
LOOK_S = 0.2
# A leader moves in well under a second; a worker that was thrown out would need its session's six
# seconds, and a partition without two replicas in step the time of a whole restart.
STILL_S_MAX = 15.0


@pytest.mark.apache
def test_a_rolling_restart_of_the_brokers_loses_nothing_and_stops_nobody() -> None:
    if missing := missing_tools():
        unavailable(f"Apache Kafka needs {' and '.join(missing)} on PATH")
    found, still_s = asyncio.run(_play())
    assert found.is_clean, (found.lost, found.duplicates, found.wrong_states)
    assert found.applied > 0 and found.merges > 0
    assert still_s < STILL_S_MAX


async def _play() -> tuple[Found, float]:
    channels, cluster = Channels(), ApacheCluster()
    await channels.start()
    roles = ("work", "work", "deliver", "keep", "collect")
    async with Town(1, endpoints=channels.endpoints, broker=cluster, roles=roles) as town:
        load = Load(1, url=town.url, bootstrap=cluster.bootstrap, rate=RATE, crowd=10)
        over = asyncio.Event()
        sending = asyncio.create_task(load.run(over))
        watching = asyncio.create_task(_longest_still_s(town, over))
        for number in range(BROKERS):
            await asyncio.to_thread(cluster.restart, number)
        over.set()
        await sending
        still_s = await watching
        await drain(town)
        found = await asyncio.to_thread(compare, town, load, channels)
    await channels.stop()
    return found, still_s


async def _longest_still_s(town: Town, over: asyncio.Event) -> float:
    """Return for how long any partition was not applied any further; ticks come all the time."""
    moved_at = dict.fromkeys(await town.offsets(), monotonic())
    before = await town.offsets()
    longest = 0.0
    while not over.is_set():
        await asyncio.sleep(LOOK_S)
        for partition, off in (await town.offsets()).items():
            longest = max(longest, monotonic() - moved_at[partition])
            if off > before[partition]:
                moved_at[partition], before[partition] = monotonic(), off
    return longest
