"""Identifiers that belong together, many at once: a first load of who is whom, from who knows it.

Each row becomes the claims that one event of its identifiers would have made, for the registrar
alone: no event, no profile, nothing to count. To say a row again changes nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from engine.events import topics
from engine.events.ids import TYPES, birth_id, normalise
from engine.events.record import Outgoing, partition_of
from engine.identity import mac
from engine.identity.messages import Claim
from engine.identity.registrar import ADDRESS
from engine.ports import Publisher

RECORDS_MAX = 500  # of one publication
WRONG_MAX = 20  # told of one by one
_json = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Linked:
    """What became of rows: `linked` into the log; `alone`: with fewer than two identifiers.

    `wrong_count` values were none of their type and left out; `wrong` says of the first which.
    """

    linked: int = 0
    alone: int = 0
    wrong_count: int = 0
    wrong: list[str] = field(default_factory=list)

    def note(self, where: str, name: str, value: str) -> None:
        """Take in a value that is none of its type."""
        self.wrong_count += 1
        if len(self.wrong) < WRONG_MAX:
            self.wrong.append(f"{where}: `{value}` is no {name}")


class Links:
    """Writes rows of identifiers into the registrar's log, sealed."""

    def __init__(
        self,
        publisher: Publisher,
        *,
        partition_count: int,
        tenant: str,
        secret: bytes,
    ) -> None:
        self._publisher = publisher
        self._partition = partition_of(ADDRESS, partition_count)
        self._tenant = tenant
        self._secret = secret

    async def link(
        self, rows: Sequence[Mapping[str, Any]], *, region: str = "CN", first: int = 1
    ) -> Linked:
        """Write the claims of rows, identifier type -> value; other columns are passed over.

        `region`: of national phone numbers. `first`: number of the first row, for `wrong`.
        """
        told = Linked()
        records: list[Outgoing] = []
        for number, row in enumerate(rows, first):
            claims = list(self._claims(f"row {number}", row, region, told))
            told.linked += bool(claims)
            told.alone += not claims
            records += [self._record(claim) for claim in claims]
        for start in range(0, len(records), RECORDS_MAX):
            await self._publisher.publish(records[start : start + RECORDS_MAX])
        return told

    def _claims(
        self, where: str, row: Mapping[str, Any], region: str, told: Linked
    ) -> Iterator[Claim]:
        names = set()
        for kind in TYPES.keys() & row.keys():
            value = row[kind]
            if value is None or value == "":
                continue
            plain = normalise(kind, str(value), region=region)
            if plain is None:
                told.note(where, kind, str(value))
            else:
                names.add(birth_id(kind, plain, tenant=self._tenant, secret=self._secret))
        if len(names) < 2:
            return
        home, *others = sorted(names)
        proved = [name for name in others if home[0] == name[0] == "0"]
        if proved:
            yield Claim(self._tenant, home, proved, 1)
        if weak := others[len(proved) :]:
            yield Claim(self._tenant, home, weak, 0)

    def _record(self, claim: Claim) -> Outgoing:
        key, value = ADDRESS.encode(), _json(claim)
        seal = mac.sign("claim", key, value, self._secret)
        return Outgoing(
            topics.EVENTS, self._partition, key, value, (("kind", b"claim"), ("mac", seal))
        )
