"""A real Redis Cluster for chaos: masters killed, frozen, failed over while behind, slots moved.

It offers what `RedisPair` does, and moves. One fault at a time: the caller sees to that.
"""

from random import Random
from time import sleep

from redis.cluster import ClusterNode
from redis.cluster import RedisCluster as ClusterClient
from redis.exceptions import RedisError

from tests.clusters import Node, RedisCluster, until

MASTERS = 3
STEP_KEYS = 5  # of a slot on its way, between two breaths
STEP_S = 0.02


class RedisShards:
    """Three masters with all slots, and a replica of each."""

    def __init__(self, seed: int) -> None:
        self._random = Random(f"{seed}/shards")
        self._cluster = RedisCluster(MASTERS, replicas=1)

    @property
    def url(self) -> str:
        """The addresses of all nodes: a process that starts finds one that lives."""
        return ",".join(node.url for node in self._cluster.nodes)

    def start(self) -> None:
        """Start all nodes."""
        self._cluster.start()

    def client(self) -> ClusterClient:
        """Return a connection to all of it, which asks again where a node does not answer."""
        nodes = [ClusterNode("127.0.0.1", node.port) for node in self._cluster.nodes]
        return ClusterClient(startup_nodes=nodes, socket_timeout=2.0)

    def kill_and_restart(self, *, away_s: float) -> None:
        """kill -9 of a master; a replica may have its place by the time that it is back."""
        victim = self._a_master()
        victim.kill()
        sleep(away_s)
        victim.start()
        self._until_whole()

    def stall(self, *, for_s: float) -> None:
        """Freeze a master; one that wakes may be none any more, and does not know it yet."""
        victim = self._a_master()
        victim.freeze()
        sleep(for_s)
        victim.thaw()
        self._until_whole()

    def fail_over(self, *, behind_s: float) -> int:
        """Kill a master whose replica was cut off `behind_s` ago; return the bytes lost."""
        victim = self._a_master()
        replica = self._cluster.replica_of(victim)
        self._cluster.cut_off(replica)
        sleep(behind_s)
        lost = _written(victim) - _written(replica)
        victim.kill()
        until(lambda: replica.is_master, "the replica takes over")
        self._cluster.rejoin(victim, replica)
        self._until_whole()
        return lost

    def move(self, key: str) -> None:
        """Move the slot of a key to another master, a few keys at a time."""
        source = self._cluster.master_of(key)
        others = [node for node in self._masters() if node is not source]
        move = self._cluster.begin_move(key, self._random.choice(others))
        while move.some(STEP_KEYS):
            sleep(STEP_S)
        move.end()
        self._until_whole()

    def stop(self) -> None:
        """End all."""
        self._cluster.stop()

    def _masters(self) -> list[Node]:
        return [node for node in self._cluster.nodes if node.is_master and node.has_slots]

    def _a_master(self) -> Node:
        return self._random.choice(self._masters())

    def _until_whole(self) -> None:
        """Wait until all slots are served, each by a master whose replica is in step."""
        until(self._cluster.is_whole, "all slots are served")
        until(lambda: all(map(_has_replica, self._masters())), "replicas in step")


def _written(node: Node) -> int:
    return int(node.client.info("replication")["master_repl_offset"])


def _has_replica(master: Node) -> bool:
    try:
        found = master.client.info("replication")
    except RedisError:
        return False
    return any(found.get(f"slave{n}", {}).get("state") == "online" for n in range(MASTERS))
