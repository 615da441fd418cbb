"""What the fence costs: APPLY beside the same writes without it, by the same client and server."""

import statistics

from engine.adapters.redis.store import RedisStore, encode_meta
from engine.ports import Commit
from tests.bench import stages
from tests.bench.load import rule_texts


class Unfenced(RedisStore):
    """Writes a batch as most programs would: values, timers, the offset; the last one wins."""

    async def apply(self, partition: int, token: str, commit: Commit) -> None:
        """Commit without asking who owns the partition, nor from where it was folded."""
        wire = self._wire(partition)
        rows: list[bytes] = []
        for name, value in commit.states.items():
            rows += (self._key(partition, name), value or b"")
        if rows:
            await wire.call(b"MSET", *rows)
        armed: list[bytes] = []
        for member, score in commit.timers.items():
            if score is not None:
                armed += (b"%d" % score, member.encode())
        if armed:
            await wire.call(b"ZADD", self._key(partition, "tm"), *armed)
        await wire.call(b"HSET", self._key(partition, "m"), *encode_meta(commit.meta))


async def fence_over_unfenced(runs: int) -> float:
    """Return CPU of worker and Redis together, fenced over unfenced: median of paired runs."""
    ratios = []
    for _ in range(runs):
        spent = []
        for kind in (RedisStore, Unfenced):
            found = await stages.measure(
                events=20_000, customers=2_000, rules=rule_texts(20), stages=False, kind=kind
            )
            spent.append(found["all"] + found["redis"])
        ratios.append(spent[0] / spent[1])
    return round(statistics.median(ratios), 2)
