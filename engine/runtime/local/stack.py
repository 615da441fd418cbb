"""The whole engine on this machine: servers of our own, one process a role, totals at the end."""

import asyncio
import json
import logging
import secrets
import tempfile
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from time import monotonic, time
from typing import Any

import aiohttp
import orjson

from engine.adapters.kafka.producer import KafkaPublisher
from engine.adapters.kafka.reader import KafkaReader
from engine.adapters.kafka.topics import create_topics
from engine.adapters.redis.ledger import RedisLedger
from engine.adapters.redis.offsets import RedisOffsets
from engine.adapters.redis.store import RedisStore
from engine.config import Settings
from engine.errors import ConfigError
from engine.events import topics
from engine.runtime.connect import publisher_of, reader_of, store_of
from engine.runtime.learner import CHECKPOINT
from engine.runtime.local.embedded import EmbeddedBroker, EmbeddedRedis, free_port
from engine.runtime.local.processes import Process
from engine.runtime.local.supervisor import Supervisor, instances
from engine.runtime.lookup import Lookup
from engine.runtime.setup import publish_rules, topic_specs
from engine.runtime.totals import Totals, summed, tally, unaccounted

READY_S = 60.0
DRAIN_S = 3.0
QUIET_S = 0.5
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to start. `roles`: a process each; of `work`, as many as `workers`, `work-0` and so on.

    `rules` None: all of the rules folder at once. `metrics`: each process serves /metrics on a
    port of its own, found in `Stack.metrics_ports`.
    """

    settings: Settings
    roles: Sequence[str] = ("keep", "work", "deliver", "collect")
    workers: int = 1
    receiver: bool = True
    metrics: bool = False
    rules_version: str = "v1"
    rules: dict[str, str] | None = None
    started_ms: int = field(default_factory=lambda: int(time() * 1000))


class Stack:
    """Servers and processes of one engine; `async with` starts and ends all of it."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._redis = EmbeddedRedis()
        self._broker = EmbeddedBroker()
        self._supervisor = Supervisor()
        self._roles: set[str] = set()
        self._folder = tempfile.TemporaryDirectory(prefix="touchpoint-")
        self._receiver_url = ""
        self._watch: asyncio.Task[None] | None = None
        self.settings = plan.settings
        self.metrics_ports: dict[str, int] = {}
        self.publisher: KafkaPublisher
        self.reader: KafkaReader
        self.store: RedisStore
        self.ledger: RedisLedger
        self.offsets: RedisOffsets

    @property
    def restarts(self) -> int:
        """How often a process ended by itself and was started again."""
        return self._supervisor.restarts

    @property
    def pids(self) -> dict[str, int]:
        """Process id by name, of the roles and the receiver."""
        return {process.name: process.pid for process in self._supervisor.processes}

    @property
    def receiver_url(self) -> str:
        """Where the sample receiver answers; '' without one."""
        return self._receiver_url

    @property
    def url(self) -> str:
        """Where the collector and the console answer."""
        return f"http://{self.settings.host}:{self.settings.port}"

    async def __aenter__(self) -> "Stack":
        """Start everything; ready when every partition has an owner and the door answers."""
        try:
            await self._start()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """End everything that we started."""
        await self._end()

    def lookup(self) -> Lookup:
        """Return the read path to this stack's customers."""
        return Lookup(
            self.store,
            partition_count=self.settings.partitions,
            tenant=self.settings.tenant,
            secret=self.settings.secret_key,
        )

    async def totals(self, *, final: bool = False) -> Totals:
        """Return the totals as of now; `final`: wait until all is drained."""
        if final:
            await self._drain()
            await self.stop_role("keep")  # no more ticks: what fires now has fired, and can be sent
            await self._drain()
        every = range(self.settings.partitions)
        metas = await asyncio.gather(*(self.store.meta(p) for p in every))
        at_door = await self._door_totals()
        counts = summed(metas)
        receiver = (
            await self._get_json(self._receiver_url + "/totals") if self._receiver_url else {}
        )
        labels, auc = await self._learned()
        return tally(
            metas,
            accepted=at_door["events_in"],
            dead_at_door=max(0, at_door["dead_letters"] - counts["dead"]),
            receiver=receiver,
            speed=self.settings.speed,
            labels=labels,
            auc=auc,
        )

    def last_words(self) -> str:
        """Return what the processes printed, for an error's sake."""
        return "\n".join(f"--- {p.name}\n{p.last_words()}" for p in self._supervisor.processes)

    async def _start(self) -> None:
        redis_url = self._redis.start()
        bootstrap = self._broker.start()
        plan = self._plan.settings
        self.settings = replace(
            plan,
            redis_url=redis_url,
            kafka_bootstrap=bootstrap,
            generation=self._broker.generation or plan.generation,
            port=plan.port or free_port(),
        )
        settings = self.settings
        self.publisher = publisher_of(settings)
        self.reader = reader_of(settings)
        self.store = store_of(settings)
        self.ledger = RedisLedger(settings.redis_url, settings.space)
        self.offsets = RedisOffsets(settings.redis_url, settings.space)
        plan_ = self._plan
        if settings.log_version == 1:  # else `engine grow` has brought all of it along
            await asyncio.to_thread(create_topics, bootstrap, topic_specs(settings))
            await publish_rules(settings, self.publisher, plan_.rules_version, rules=plan_.rules)
        if plan_.receiver:
            await self._start_receiver()
        await self.start_roles(plan_.roles)
        self._watch = asyncio.create_task(self._supervisor.run())

    async def start_roles(self, roles: Sequence[str], *, started_ms: int | None = None) -> None:
        """Start a process for each role and wait until all are ready.

        `started_ms`: when the demo's clock begins to run; now, for a wall clock.
        """
        if started_ms is not None:
            self.settings = replace(self.settings, started_ms=started_ms)
        env = _environment(self.settings)
        for role in roles:
            self._roles.add(role)
            if role == "work" and self._plan.workers > 1:
                for index, more in enumerate(instances(self._plan.workers, self.settings)):
                    self._start_process(f"{role}-{index}", ["run", role], {**env, **more})
            else:
                self._start_process(role, ["run", role], env)
        await self._until_ready()

    def _start_process(self, name: str, command: list[str], env: dict[str, str]) -> None:
        arguments = ["engine.cli.main", *command]
        if self._plan.metrics:
            self.metrics_ports[name] = free_port()
            env = {**env, "METRICS_PORT": str(self.metrics_ports[name])}
        self._supervisor.start(Process(name, arguments, env=env, folder=Path(self._folder.name)))

    async def _start_receiver(self) -> None:
        secret = "whsec_" + b64encode(secrets.token_bytes(32)).decode("ascii")
        port = free_port()
        arguments = ["engine.simulation.receiver", "--port", str(port), "--secret", secret]
        process = Process("receiver", arguments, env={}, folder=Path(self._folder.name))
        self._supervisor.start(process)
        self._receiver_url = f"http://127.0.0.1:{port}"
        endpoint = {
            "name": "sample",
            "url": self._receiver_url + "/hooks",
            "secret": secret,
            "private": True,
        }
        self.settings = replace(self.settings, endpoints=json.dumps([endpoint]))

    async def _until_ready(self) -> None:
        deadline = monotonic() + READY_S
        while True:
            for process in self._supervisor.processes:
                if process.exit_code is not None:
                    raise ConfigError(
                        f"process {process.name} ended: {process.last_words()}",
                        code="config/process",
                    )
            if await self._is_ready(owners="work" in self._roles):
                return
            if monotonic() > deadline:
                raise ConfigError(
                    f"not ready after {READY_S:.0f} s\n{self.last_words()}", code="config/ready"
                )
            await asyncio.sleep(0.1)

    async def _is_ready(self, *, owners: bool) -> bool:
        if "collect" in self._roles:
            try:
                await self._get_json(self.url + "/api/totals")
            except (aiohttp.ClientError, TimeoutError, OSError):
                return False
        if owners:
            every = range(self.settings.partitions)
            if not all(await asyncio.gather(*(self.store.owner(p) for p in every))):
                return False
        if "deliver" in self._roles:
            return all([await self.ledger.owner(p) for p in range(self.settings.partitions)])
        return True

    async def _drain(self) -> None:
        """Wait until nothing is under way any more, or DRAIN_S have passed."""
        deadline = monotonic() + DRAIN_S
        before: tuple[object, ...] = ()
        quiet_since = monotonic()
        while monotonic() < deadline:
            state = await self._under_way()
            if state != before:
                before, quiet_since = state, monotonic()
            sent = state[2] >= state[1] or not self._receiver_url
            if state[0] == 0 and sent and monotonic() - quiet_since >= QUIET_S:
                return
            await asyncio.sleep(0.1)

    async def _under_way(self) -> tuple[int, int, int]:
        every = range(self.settings.partitions)
        metas = await asyncio.gather(*(self.store.meta(p) for p in every))
        door = await self._door_totals()
        counts = summed(metas)
        left = unaccounted(door["events_in"], counts)
        settled = await self.ledger.counts(list(every))
        return left, counts["triggers"], sum(settled.values())

    async def _door_totals(self) -> dict[str, Any]:
        if "collect" in self._roles:
            return await self._get_json(self.url + "/api/totals")
        accepted, dead = await self.offsets.counts()
        metas = [await self.store.meta(p) for p in range(self.settings.partitions)]
        return {"events_in": accepted, "dead_letters": dead + summed(metas)["dead"]}

    async def _get_json(self, url: str) -> dict[str, Any]:
        timeout = aiohttp.ClientTimeout(total=5)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as answer:
            found: dict[str, Any] = orjson.loads(await answer.read())
            return found

    async def _learned(self) -> tuple[int, float | None]:
        """Return (labels learned, AUC) of the learner's last checkpoint."""
        offset, _ = await self.reader.bounds(topics.MODELS, 0)
        labels, auc = 0, None
        while found := await self.reader.read(topics.MODELS, 0, offset, count_max=100):
            offset = found[-1].offset + 1
            for record in found:
                if record.key == CHECKPOINT:
                    checkpoint = orjson.loads(record.value)
                    labels, auc = checkpoint["labels"], checkpoint["auc"]
        return labels, None if auc is None else round(auc, 4)

    def kill_role(self, name: str) -> None:
        """Kill one role as a crash would; the supervisor starts it again."""
        for process in self._supervisor.processes:
            if process.name == name:
                process.kill()

    async def stop_role(self, name: str) -> None:
        """Stop one role and let it end cleanly; it is not started again."""
        await self._supervisor.stop(p for p in self._supervisor.processes if p.name == name)

    async def _end(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        await self._supervisor.stop()
        for name in ("publisher", "reader", "store", "ledger", "offsets"):
            part = getattr(self, name, None)
            if part is not None:
                await part.close()
        self._broker.stop()
        self._redis.stop()
        self._folder.cleanup()


def _environment(settings: Settings) -> dict[str, str]:
    return {name.upper(): str(value) for name, value in asdict(settings).items()}
