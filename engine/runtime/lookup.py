"""The read path: any identifier, any old id, to the one person that it leads to now; and things."""

from dataclasses import dataclass

from engine.errors import StoreError
from engine.events.ids import ENTITIES, birth_id, entity_id, normalise
from engine.events.record import partition_of
from engine.identity.node import Tombstone
from engine.keys import node_name
from engine.pipeline.state import Live, decode_node
from engine.ports import Store
from engine.profile.model import Actor

CHAIN_MAX = 64


@dataclass(frozen=True, slots=True)
class Found:
    """A person as of the last commit: the canonical id, the ids passed on the way, the state.

    Or a thing (a shop, an advert): it has one id, and no ways lead to it.
    """

    customer: str
    way: tuple[str, ...]
    live: Live

    @property
    def aliases(self) -> list[str]:
        """Identifiers that are this person's, as birth ids."""
        return sorted(name for name, level in self.live.links.seen.items() if level > 0)


class Lookup:
    """Finds people and things in the store; reads only, and never creates."""

    def __init__(self, store: Store, *, partition_count: int, tenant: str, secret: bytes) -> None:
        self._store = store
        self._count = partition_count
        self._tenant = tenant
        self._secret = secret

    async def find(self, name: str) -> Found | None:
        """Return the person of `type:value` or of a customer id (any old one), or `store:s7`."""
        kind, colon, value = name.partition(":")
        if colon and kind in ENTITIES:
            thing = entity_id(kind, value, tenant=self._tenant, secret=self._secret)
            return await self.by_node(thing)
        return await (self.by_identifier(kind, value) if colon else self.by_node(name))

    async def by_identifier(self, kind: str, value: str, *, region: str = "CN") -> Found | None:
        """Return the person of an identifier (`user_id`, `phone`, ...), None if unknown."""
        plain = normalise(kind, value, region=region)
        if plain is None:
            return None
        return await self.by_node(birth_id(kind, plain, tenant=self._tenant, secret=self._secret))

    async def by_node(self, node_id: str) -> Found | None:
        """Return the person that a node id leads to; None if unknown or erased."""
        if not node_id.isascii():  # a name in Chinese, say: no id of ours looks so
            return None
        end = await self._end(node_id)
        return end if isinstance(end, Found) else None

    async def actor_of(self, customer: str) -> Actor | None:
        """Return the state of a customer whom some log knows; None if the person was erased.

        Raises
        ------
        StoreError
            `store/behind` where nobody is: Redis fell back and is not mended yet, or the state of
            two who became one is still on its way. Nobody may be taken for erased by that.
        """
        end = await self._end(customer)
        if end is None:
            raise StoreError(f"nobody is at {customer} yet", code="store/behind")
        return end.live.actor if isinstance(end, Found) else None

    async def _end(self, node_id: str) -> Found | Tombstone | None:
        """Return where a chain ends: at a person, an erased node, or nobody."""
        way: list[str] = []
        while len(way) < CHAIN_MAX:
            name = node_name(self._tenant, node_id)
            node = decode_node(name, await self._read(node_id, name))
            if isinstance(node, Live) and way and way[0] in node.links.moved:
                node_id = node.links.moved[way[0]]  # parted, and its own signpost not yet told
                continue
            if isinstance(node, Live):
                return Found(node_id, tuple(way), node)
            if not isinstance(node, Tombstone) or (node.erased and not way):
                return node
            way.append(node_id)
            node_id = node.target if len(way) == 1 else node.way(way[0])
            if not node_id:
                return node
        return None

    async def _read(self, node_id: str, name: str) -> bytes | None:
        partition = partition_of(node_id, self._count)
        try:
            found = await self._store.load(partition, [name])
        except StoreError:  # its slot may have moved: a reader remembers nothing, so may ask again
            found = await self._store.load(partition, [name])
        return found[0]
