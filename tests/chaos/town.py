"""An installation for chaos: Apache Kafka, Redis, several processes of each role, a supervisor.

Everything runs as in production, each role in a process of its own; only the ports of workers and
deliverers have points at which they can be struck (points.py).
"""

import asyncio
import json
import os
import signal
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from random import Random
from time import monotonic

from confluent_kafka import Consumer, TopicPartition

from engine.adapters.kafka.producer import KafkaPublisher
from engine.adapters.kafka.topics import create_topics
from engine.config import Settings
from engine.keys import Space
from engine.runtime.local.embedded import free_port
from engine.runtime.local.processes import Process
from engine.runtime.setup import publish_rules, topic_specs
from tests.apache.broker import ApacheKafka
from tests.apache.cluster import ApacheCluster
from tests.chaos.redis_server import RedisPair
from tests.chaos.redis_shards import RedisShards
from tests.chaos.release import Release
from tests.chaos.rules import FILES

PARTITIONS = 8
TICK_MS = 500
READY_S = 60.0
LOOK_S = 0.1
QUIET = {"group.id": "nobody", "enable.auto.commit": False, "log_level": 0}  # of confluent's
ROLES = ("work", "work", "work", "deliver", "deliver", "keep", "collect")
STATIC = ("work-1", "deliver-1")  # those with a name that stays: a quick restart moves nothing


@dataclass
class Running:
    """One process and what was done to it; `busy`: a fault has it just now."""

    name: str
    role: str
    process: Process
    point: Path
    busy: bool = False
    stopping: bool = False
    restart_at: float = 0.0
    exits: list[int] = field(default_factory=list)

    @property
    def pid(self) -> int | None:
        """Its process id, None while it does not run."""
        child = self.process._child
        return child.pid if child is not None and child.poll() is None else None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it runs."""
        if (pid := self.pid) is not None:
            os.kill(pid, number)

    @property
    def struck(self) -> Path:
        """What is there when it has come to its point."""
        return self.point.with_suffix(".struck")


class Town:
    """All of it; `async with` starts and ends everything."""

    def __init__(
        self,
        seed: int,
        *,
        endpoints: list[dict[str, object]],
        broker: ApacheKafka | ApacheCluster | None = None,
        redis: RedisPair | RedisShards | None = None,
        roles: Sequence[str] = ROLES,
        static: Sequence[str] = STATIC,
        transactions: bool = False,
        older: tuple[Release, Sequence[str]] | None = None,
        measured: Sequence[str] = (),
    ) -> None:
        self.random = Random(f"{seed}/town")
        self.broker = broker or ApacheKafka()
        self._roles = roles
        self._static = static
        self._transactions = transactions
        self._older: Release | None
        self._of_older: Sequence[str]
        self._older, self._of_older = older or (None, ())
        self._measured = measured
        self.metrics_ports: dict[str, int] = {}
        self.redis = redis or RedisPair()
        self.people: dict[str, Running] = {}
        self.crashes: Counter[str] = Counter()
        self._endpoints = endpoints
        self._folder = tempfile.TemporaryDirectory(prefix="touchpoint-chaos-")
        self._watch: asyncio.Task[None] | None = None
        self._reader: Consumer | None = None
        self.settings: Settings
        self.space: Space

    @property
    def url(self) -> str:
        """Where the collector answers."""
        return f"http://127.0.0.1:{self.settings.port}"

    async def __aenter__(self) -> "Town":
        """Start everything; ready when every partition has an owner."""
        try:
            await self._start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """End everything."""
        await self.close()

    async def _start(self) -> None:
        await asyncio.to_thread(self.broker.start)
        await asyncio.to_thread(self.redis.start)
        self.settings = Settings(
            redis_url=self.redis.url,
            kafka_bootstrap=self.broker.bootstrap,
            partitions=PARTITIONS,
            generation=f"chaos-{os.getpid()}",
            port=free_port(),
            any_key="demo",
            tick_ms=TICK_MS,
            endpoints=json.dumps(self._endpoints),
            trigger_transactions=int(self._transactions),
        )
        self.space = Space(self.settings.generation, PARTITIONS)
        bootstrap = self.settings.kafka_bootstrap
        replication = 3 if isinstance(self.broker, ApacheCluster) else 1
        topics = topic_specs(self.settings, replication=replication)
        await asyncio.to_thread(create_topics, bootstrap, topics)
        publisher = KafkaPublisher(bootstrap)
        contracts = self.settings  # of rules, those that every worker can read
        if self._older is not None:
            contracts = replace(contracts, topics_dir=str(self._older.folder / "topics"))
        await publish_rules(contracts, publisher, "v1", rules=FILES)
        await publisher.close()
        numbers: Counter[str] = Counter()
        for role in self._roles:
            numbers[role] += 1
            self._add(f"{role}-{numbers[role]}", role)
        self._watch = asyncio.create_task(self._supervise())
        await self._until_owned()

    def _add(self, name: str, role: str) -> None:
        folder = Path(self._folder.name)
        point = folder / f"{name}.point"
        env = {key.upper(): str(value) for key, value in asdict(self.settings).items()}
        env |= {"POINT_FILE": str(point), "INSTANCE_ID": name if name in self._static else ""}
        if name in self._measured:
            self.metrics_ports[name] = free_port()
            env["METRICS_PORT"] = str(self.metrics_ports[name])
        process = self._process(name, role, env, folder)
        process.start()
        self.people[name] = Running(name, role, process, point)

    def _process(self, name: str, role: str, env: dict[str, str], folder: Path) -> Process:
        if self._older is not None and name in self._of_older:
            return self._older.process(name, role, env=env, folder=folder)
        module = "tests.chaos.points" if role in ("work", "deliver") else "engine.cli.main"
        arguments = [module, role] if module.startswith("tests") else [module, "run", role]
        return Process(name, arguments, env=env, folder=folder)

    def of(self, *roles: str) -> list[Running]:
        """Return the processes of some roles."""
        return [each for each in self.people.values() if each.role in roles]

    async def _until_owned(self) -> None:
        deadline = monotonic() + READY_S
        while any(at < 0 for at in (await self.offsets()).values()):
            assert monotonic() < deadline, f"not ready\n{self.last_words()}"
            await asyncio.sleep(LOOK_S)

    async def offsets(self) -> dict[int, int]:
        """Return the applied offset of each partition, -2 where Redis does not answer."""
        return await asyncio.to_thread(self._offsets)

    def _offsets(self) -> dict[int, int]:
        found = dict.fromkeys(range(PARTITIONS), -2)
        try:
            with self.redis.client() as client:
                for partition in found:
                    value = client.hget(self.space.key(partition, "m"), "off")
                    found[partition] = -1 if value is None else int(value)
        except OSError:
            return dict.fromkeys(found, -2)
        except Exception as error:
            if type(error).__module__.partition(".")[0] != "redis":
                raise
            return dict.fromkeys(found, -2)
        return found

    async def _supervise(self) -> None:
        """Start again what has ended; say how it ended where no fault of ours did it."""
        while True:
            await asyncio.sleep(LOOK_S)
            for each in self.people.values():
                code = each.process.exit_code
                if code is None or each.stopping:
                    continue
                if not each.restart_at:
                    each.exits.append(code)
                    each.restart_at = monotonic() + self.random.uniform(0.1, 1.5)
                elif monotonic() > each.restart_at:
                    each.restart_at = 0.0
                    each.process.start()

    async def stop(self, name: str) -> float:
        """Stop a process in order, for good; return the seconds it took."""
        each = self.people[name]
        each.stopping = True
        began = monotonic()
        each.process.ask_to_stop()
        await asyncio.to_thread(each.process.wait)
        return monotonic() - began

    def holds(self, topic: str, partition: int, offset: int) -> bool:
        """Tell whether there is a record from `offset` on: the rest may be ends of transactions."""
        reader = Consumer({**QUIET, "bootstrap.servers": self.broker.bootstrap,
                           "enable.partition.eof": True})  # fmt: skip
        reader.assign([TopicPartition(topic, partition, offset)])
        found = reader.consume(1, timeout=10.0)
        reader.close()
        return any(message.error() is None for message in found)

    def end(self, topic: str, partition: int) -> int:
        """Return the offset after the last record of a partition."""
        if self._reader is None:
            self._reader = Consumer({**QUIET, "bootstrap.servers": self.broker.bootstrap})
        return int(
            self._reader.get_watermark_offsets(TopicPartition(topic, partition), timeout=10.0)[1]
        )

    def last_words(self) -> str:
        """Return what the processes printed last."""
        return "\n".join(f"--- {n}\n{p.process.last_words()}" for n, p in self.people.items())

    def printed(self) -> str:
        """Return everything that the processes have printed."""
        paths = {name: each.process.log_path for name, each in self.people.items()}
        return "\n".join(
            f"--- {name}\n{path.read_text(errors='replace')}"
            for name, path in paths.items()
            if path
        )

    async def close(self) -> None:
        """End everything that was started."""
        if self._watch is not None:
            self._watch.cancel()
        if self._reader is not None:
            self._reader.close()
        for each in self.people.values():
            each.stopping = True
            each.process.kill()
        await asyncio.to_thread(self.redis.stop)
        await asyncio.to_thread(self.broker.kill)
        self.broker.stop()
        self._folder.cleanup()
