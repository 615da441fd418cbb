"""What staff may order about a person: sealed records that the registrar obeys."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from engine.adapters.clock import clock_of
from engine.config import Settings
from engine.errors import EngineError
from engine.events import topics
from engine.events.ids import TYPES, birth_id, normalise
from engine.events.record import Outgoing, partition_of
from engine.identity import mac
from engine.identity.messages import Erase, Split
from engine.identity.registrar import ADDRESS
from engine.ports import Clock, Publisher
from engine.runtime.orders.links import Linked, Links

_NODE_ID = re.compile(r"(?:[0-3][a-z]|-[0-9])[A-Za-z0-9_-]{16}")
_json = msgspec.json.Encoder().encode


class Staff:
    """Writes orders; each is done when the registrar and the nodes have read it, in seconds."""

    def __init__(
        self,
        publisher: Publisher,
        *,
        clock: Clock,
        partition_count: int,
        tenant: str,
        secret: bytes,
    ) -> None:
        self._publisher = publisher
        self._clock = clock
        self._count = partition_count
        self._tenant = tenant
        self._secret = secret
        self._links = Links(
            publisher, partition_count=partition_count, tenant=tenant, secret=secret
        )

    async def erase(self, name: str) -> None:
        """Erase the person of `type:value` or of a customer id, with all that leads to them."""
        body = Erase(self._tenant, self.id_of(name), self._clock.now())
        await self._order("erase", body)

    async def split(self, name: str, others: Sequence[str]) -> None:
        """Part the identifiers `others` from the rest of the person of `name`."""
        if not others:
            raise EngineError("who is somebody else? name identifiers", code="identity/split")
        body = Split(self._tenant, self.id_of(name), [self.id_of(other) for other in others])
        await self._order("split", body)

    async def link(
        self, rows: Sequence[Mapping[str, Any]], *, region: str = "CN", first: int = 1
    ) -> Linked:
        """Say of many rows of identifiers that each is one person (`links.py`)."""
        return await self._links.link(rows, region=region, first=first)

    def id_of(self, name: str) -> str:
        """Return the node id of `type:value`, or of itself.

        Raises
        ------
        EngineError
            If the type is not known, or the value is none of its type.
        """
        kind, colon, value = name.partition(":")
        if not colon:
            if _NODE_ID.fullmatch(name) is None:
                raise EngineError(
                    f"`{name}` is no customer id; want TYPE:VALUE, or an id of 18 characters",
                    code="identity/id",
                )
            return name
        if kind not in TYPES:
            known = ", ".join(TYPES)
            raise EngineError(f"no identifier type `{kind}`; one of {known}", code="identity/type")
        plain = normalise(kind, value)
        if plain is None:
            raise EngineError(f"`{value}` is no {kind}", code="identity/value")
        return birth_id(kind, plain, tenant=self._tenant, secret=self._secret)

    async def _order(self, kind: str, body: msgspec.Struct) -> None:
        key, value = ADDRESS.encode(), _json(body)
        seal = mac.sign(kind, key, value, self._secret)
        headers = (("kind", kind.encode()), ("mac", seal))
        partition = partition_of(ADDRESS, self._count)
        await self._publisher.publish([Outgoing(topics.EVENTS, partition, key, value, headers)])


def staff_of(settings: Settings, publisher: Publisher) -> Staff:
    """Return what staff of an installation orders with."""
    return Staff(
        publisher,
        clock=clock_of(settings),
        partition_count=settings.partitions,
        tenant=settings.tenant,
        secret=settings.secret_key,
    )
