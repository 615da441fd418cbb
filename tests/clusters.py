"""A Redis Cluster for tests: nodes of the server at hand, slots moved by hand, nodes killed."""

import signal
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from redis import Redis
from redis.crc import key_slot
from redis.exceptions import RedisError

from engine.runtime.local.embedded import free_port, spawn
from tests.servers import redis_server

SLOTS = 16_384
NODE_TIMEOUT_MS = 1_500
READY_S = 30.0
REAL = tuple(pytest.param(kind, marks=pytest.mark.redis) for kind in ("redis", "cluster"))


class Node:
    """One server that keeps what it has on disk; `port` stays the same over its restarts."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._options = options
        self.port, self.bus_port = free_port(), free_port()
        self.folder = folder
        folder.mkdir()
        self.client = Redis(port=self.port, socket_timeout=10)
        self._process: subprocess.Popen[bytes]

    def start(self, *, appendonly: str = "yes") -> None:
        """Start it, with what its folder holds."""
        command = [
            *(redis_server(), "--port", str(self.port), "--bind", "127.0.0.1"),
            *("--dir", str(self.folder), "--save", "", "--appendonly", appendonly),
            *("--maxmemory-policy", "noeviction", *self._options),
            *("--cluster-port", str(self.bus_port)),
        ]
        with open(self.folder / "log", "ab") as output:
            self._process = spawn(command, folder=self.folder, output=output, environment={})
        until(self.answers, f"a node of the cluster: {self.folder / 'log'}")

    def answers(self) -> bool:
        """Tell whether it answers, and has read what it had kept."""
        try:
            return bool(self.client.ping())
        except RedisError:
            return False

    def kill(self) -> None:
        """End it without a word."""
        self._process.kill()
        self._process.wait()
        self.client.connection_pool.disconnect()

    def freeze(self) -> None:
        """Stop it, its connections open."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def do(self, *parts: Any) -> Any:
        """Send one command."""
        return self.client.execute_command(*parts)

    @property
    def id(self) -> str:
        """Its name in the cluster."""
        return str(self.do("CLUSTER", "MYID"), "ascii")

    @property
    def is_master(self) -> bool:
        """Whether it takes writes."""
        return bool(self.client.info("replication")["role"] == "master")

    @property
    def has_slots(self) -> bool:
        """Whether it is a master that keys belong to."""
        return any(master[1] == self.port for _, _, master, *_ in self.do("CLUSTER", "SLOTS"))

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.port}/0"


class RedisCluster:
    """`masters` nodes with all slots, and `replicas` of each; none starts with a Function."""

    def __init__(self, masters: int = 3, *, replicas: int = 0) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="touchpoint-cluster-")
        self.nodes = [self._node(i) for i in range(masters * (1 + replicas))]
        self._masters = masters

    @property
    def url(self) -> str:
        """The address of one node: enough to find the others."""
        return self.nodes[0].url

    def start(self) -> str:
        """Start all nodes and join them; return the URL."""
        for node in self.nodes:
            node.start()
        first, *others = self.nodes
        for epoch, node in enumerate(self.nodes, 1):
            node.do("CLUSTER", "SET-CONFIG-EPOCH", epoch)
        for node in others:
            node.do("CLUSTER", "MEET", "127.0.0.1", first.port, first.bus_port)
        share = SLOTS // self._masters
        for i, node in enumerate(self.nodes[: self._masters]):
            last = SLOTS - 1 if i == self._masters - 1 else (i + 1) * share - 1
            node.do("CLUSTER", "ADDSLOTSRANGE", i * share, last)
        until(self._have_met, "all nodes know each other")
        for i, node in enumerate(self.nodes[self._masters :]):
            until(partial(_replicates, node, self.nodes[i % self._masters]), "replicas")
        until(self.is_whole, "the cluster")
        return self.url

    def stop(self) -> None:
        """End all nodes."""
        for node in self.nodes:
            node.thaw()
            node.kill()
        self._folder.cleanup()

    def add(self) -> Node:
        """Start one more node and join it; it has no slots yet."""
        node = self._node(len(self.nodes))
        node.start()
        first = self.nodes[0]
        node.do("CLUSTER", "MEET", "127.0.0.1", first.port, first.bus_port)
        self.nodes.append(node)
        until(lambda: self._have_met() and self.is_whole(), "all nodes know each other")
        return node

    def is_whole(self) -> bool:
        """Tell whether every node that answers sees all slots served."""
        alive = [node for node in self.nodes if node.answers()]
        return all(b"cluster_state:ok" in node.do("CLUSTER", "INFO") for node in alive)

    def master_of(self, key: str) -> Node:
        """Return the node that has a key's slot, as a living node sees it."""
        slot = key_slot(key.encode())
        seen = next(node for node in self.nodes if node.answers())
        for first, last, master, *_ in seen.do("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == master[1])
        raise AssertionError(f"nobody has slot {slot}")

    def replica_of(self, master: Node) -> Node:
        """Return a replica of a master."""
        return next(
            node
            for node in self.nodes
            if node.answers() and node.client.info("replication").get("master_port") == master.port
        )

    def cut_off(self, replica: Node) -> None:
        """Let a replica hear nothing of its master any more; it stays in the cluster."""
        replica.client.config_set("masteruser", "nobody")
        replica.client.config_set("masterauth", "wrong")
        replica.do("CLIENT", "KILL", "TYPE", "master")
        until(lambda: replica.client.info("replication")["master_link_status"] == "down", "cut")

    def rejoin(self, dead: Node, promoted: Node) -> None:
        """Start a node that was killed, as the replica of the one that took over."""
        promoted.client.config_set("masteruser", "")
        promoted.client.config_set("masterauth", "")
        dead.start()
        until(
            lambda: dead.client.info("replication").get("master_link_status") == "up", "a replica"
        )
        until(self.is_whole, "the cluster")

    def flush(self) -> None:
        """Empty every master."""
        for node in self.nodes:
            if node.is_master:
                node.do("FLUSHALL")

    def begin_move(self, key: str, target: Node) -> "Move":
        """Begin to move the slot of a key to another node, as `redis-cli --cluster` does it."""
        return Move(self, key_slot(key.encode()), self.master_of(key), target)

    def move(self, key: str, target: Node) -> None:
        """Move the slot of a key, all of it."""
        self.begin_move(key, target).end()

    def _have_met(self) -> bool:
        rows = [str(node.do("CLUSTER", "NODES"), "ascii").splitlines() for node in self.nodes]
        return all(
            sum("handshake" not in row and "noaddr" not in row for row in seen) == len(self.nodes)
            for seen in rows
        )

    def _node(self, number: int) -> Node:
        return Node(
            Path(self._folder.name) / str(number),
            *("--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS)),
            # A replica that is behind, or cut off, may take over: the protocol repairs that.
            *("--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0"),
            *("--cluster-allow-replica-migration", "no"),
        )


class Move:
    """A slot on its way; between `begin` and `end` it answers ASK and TRYAGAIN."""

    def __init__(self, cluster: RedisCluster, slot: int, source: Node, target: Node) -> None:
        self._cluster, self._slot = cluster, slot
        self.source, self.target = source, target
        target.do("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        source.do("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)

    def some(self, count: int) -> int:
        """Move up to `count` keys; return how many there were."""
        keys = self.source.do("CLUSTER", "GETKEYSINSLOT", self._slot, count)
        if keys:
            self.source.do("MIGRATE", "127.0.0.1", self.target.port, "", 0, 5_000, "KEYS", *keys)
        return len(keys)

    def end(self) -> None:
        """Move the rest, and tell all."""
        while self.some(100):
            pass
        alive = [n for n in self._cluster.nodes if n.answers() and n is not self.target]
        for node in (self.target, *alive):  # the new owner first
            if node.is_master:
                node.do("CLUSTER", "SETSLOT", self._slot, "NODE", self.target.id)


def emptied(kind: str, request: pytest.FixtureRequest) -> str:
    """Return the URL of an empty Redis of a kind: `redis` alone, or a `cluster`."""
    if kind == "cluster":
        cluster: RedisCluster = request.getfixturevalue("redis_cluster")
        cluster.flush()
        return cluster.url
    url: str = request.getfixturevalue("redis_url")
    Redis.from_url(url).flushall()
    return url


def until(holds: Callable[[], object], what: str, *, timeout_s: float = READY_S) -> None:
    """Wait until something holds."""
    deadline = monotonic() + timeout_s
    while not holds():
        assert monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        sleep(0.05)


def _replicates(node: Node, master: Node) -> bool:
    try:
        node.do("CLUSTER", "REPLICATE", master.id)
    except RedisError:
        return False  # the gossip has not told it of its master yet
    return True
