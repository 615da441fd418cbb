"""Which node of Redis has a key: the one there is, or by the slot map of a Redis Cluster."""

import asyncio
from bisect import bisect_right
from typing import Any, NamedTuple

from redis.asyncio import Connection
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import RedisError, ResponseError

from engine.errors import ConfigError, StoreError

MAP_TIMEOUT_S = 2.0  # of a node that is asked for the map: another one is asked then
Address = tuple[str, int]


class View(NamedTuple):
    """The map as one node told it; `starts` and `ends` of slot ranges, both inside, in order.

    `plain`: the node is no part of a cluster, and has all keys.
    """

    plain: bool
    starts: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    masters: tuple[Address, ...] = ()

    def master(self, slot: int) -> Address | None:
        """Return the node that has a slot, None if nobody has."""
        place = bisect_right(self.starts, slot) - 1
        if place < 0 or slot > self.ends[place]:
            return None
        return self.masters[place]


NOWHERE = View(plain=True)  # before anybody was asked


class SlotMap:
    """The nodes behind one URL, or several with commas between: the first that answers is asked.

    Whether they are a cluster is asked, not configured: `CLUSTER SLOTS` is an error elsewhere. The
    map is read when the first key is looked up, and again after `forget`.
    """

    def __init__(self, urls: str, *, timeout_s: float = 5.0) -> None:
        self._urls = urls.split(",")
        self._options = [dict(parse_url(url)) for url in self._urls]
        self.timeout_s = timeout_s
        self._view: View | None = None
        self._seed = 0  # the URL that answered last
        self._known: list[Address] = []
        self._asked = 0  # the map is asked of another node each time: one may be cut off
        self._busy = asyncio.Lock()

    def node(self, view: View, key: bytes) -> Address | None:
        """Return the node that has a key, None if it is no cluster.

        Raises
        ------
        StoreError
            `store/moved` if no node has the key's slot.
        """
        if view.plain:
            return None
        slot = key_slot(key)
        master = view.master(slot)
        if master is None:
            self.forget(view)
            raise StoreError(f"no node of the cluster has slot {slot}", code="store/moved")
        return master

    def connection(self, node: Address | None) -> Any:
        """Return an unconnected connection to a node, whose replies have no deadline."""
        return self._connection(self._at(node) if node else self._options[self._seed], None)

    async def view(self) -> View:
        """Return the map; asks for it if there is none.

        Raises
        ------
        StoreError
            `store/unreachable` if no node answers.
        ConfigError
            If a URL names a database other than 0: a cluster has no other.
        """
        while (view := self._view) is None:
            async with self._busy:
                if self._view is None:
                    self._view = await self._read()
        return view

    def forget(self, view: View) -> None:
        """Read the map again before the next connection, unless a newer one is there already."""
        if self._view is view:
            self._view = None

    def name(self, view: View, key: bytes = b"") -> str:
        """Return how to call the node that has a key, in a message: never with its password."""
        master = None if view.plain else view.master(key_slot(key))
        return f"{master[0]}:{master[1]}" if master else self._url(self._seed)

    async def connections(self) -> list[tuple[str, Any]]:
        """Return (name, unconnected connection) of every node that has keys."""
        view = await self.view()
        if view.plain:
            options = self._options[self._seed]
            return [(self._url(self._seed), self._connection(options, self.timeout_s))]
        return [
            (f"{master[0]}:{master[1]}", self._connection(self._at(master), self.timeout_s))
            for master in dict.fromkeys(view.masters)
        ]

    def _url(self, seed: int) -> str:
        return self._urls[seed].rsplit("@", 1)[-1].removeprefix("redis://")

    def _at(self, address: Address) -> dict[str, Any]:
        return self._options[self._seed] | {"host": address[0], "port": address[1]}

    def _connection(self, options: dict[str, Any], timeout_s: float | None) -> Any:
        options = dict(options)
        kind = options.pop("connection_class", Connection)
        return kind(
            **options,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=timeout_s,
            socket_connect_timeout=self.timeout_s,
            decode_responses=False,
            protocol=2,  # nothing comes that nobody has asked for
        )

    async def _read(self) -> View:
        self._asked += 1
        nodes: list[tuple[int | None, Address | None]] = [(None, a) for a in self._known]
        nodes += [(seed, None) for seed in range(len(self._urls))]
        turn = self._asked % len(nodes)
        last: Exception = OSError("no node is known")
        for seed, address in nodes[turn:] + nodes[:turn]:
            options = self._at(address) if address else self._options[seed or 0]
            try:
                rows = await self._ask(self._connection(options | {"db": 0}, MAP_TIMEOUT_S))
            except (RedisError, OSError, TimeoutError) as error:
                last = error
                continue
            if address is None:
                self._seed = seed or 0
            return self._understood(rows, options)
        raise StoreError(
            f"Redis at {' and '.join(self._url(seed) for seed in range(len(self._urls)))} "
            f"did not answer: {last}",
            code="store/unreachable",
        ) from last

    async def _ask(self, connection: Any) -> Any:
        """Return the rows of CLUSTER SLOTS, None from a Redis that is no cluster."""
        try:
            await connection.connect()
            await connection.send_command("CLUSTER", "SLOTS")
            return await connection.read_response()
        except ResponseError as error:
            if "cluster support disabled" in str(error) or "unknown command" in str(error):
                return None
            raise
        finally:
            await connection.disconnect(nowait=True)

    def _understood(self, rows: Any, asked: dict[str, Any]) -> View:
        if rows is None:
            self._known = []
            return View(plain=True)
        if asked.get("db"):
            raise ConfigError(
                f"REDIS_URL names database {asked['db']}, a Redis Cluster has only 0",
                code="config/redis",
            )
        ranges: list[tuple[int, int, Address]] = []
        nodes: dict[Address, None] = {}
        for first, last, master, *replicas in rows:
            for host, port, *_ in (master, *replicas):
                nodes[(bytes(host or b"").decode() or asked["host"], int(port))] = None
            host = bytes(master[0] or b"").decode() or asked["host"]
            ranges.append((int(first), int(last), (host, int(master[1]))))
        ranges.sort()
        self._known = list(nodes)
        return View(False, *zip(*ranges, strict=True)) if ranges else View(False)
