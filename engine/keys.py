"""Every Redis key, one row each: who owns it, how long it stays, how it is erased.

All keys of one log partition carry one hash tag `{e:<p>}`: one Redis Cluster slot, one writer,
one atomic call per batch (PROTOCOL.md 1.1). The ledger of trigger partition p has `{t:<p>}`.
"""

from typing import NamedTuple


class KeyRow(NamedTuple):
    """One kind of key; `erased` says what a customer's erasure does to it.

    no person: nothing of one is in it. removed, trimmed: within seconds. tombstone, null mark: a
    keyed hash that says that somebody was erased, for 8 days (for ever, if staff had once parted
    the person). not sent, emptied: refused at its next attempt, and empty once it has ended.
    """

    name: str
    owner: str
    holds: str
    retention: str
    erased: str


TABLE = (
    KeyRow("m", "pipeline", "offset, clocks, sequences, versions, counts", "for ever", "no person"),
    KeyRow("tm", "pipeline", "due timers: score = due + lateness", "until due", "removed"),
    KeyRow(
        "ob", "pipeline", "outbox: records of `triggers`, by oseq", "until acknowledged", "trimmed"
    ),
    KeyRow("mv", "pipeline", "moves: all other records, by mseq", "until acknowledged", "trimmed"),
    KeyRow(
        "s:<tenant>:<id>", "identity", "a node: person, tombstone or thing", "timers", "tombstone"
    ),
    KeyRow(
        "R:<tenant>/<x>", "identity", "the registrar's pointer or root", "for ever", "null mark"
    ),
    KeyRow(
        "l", "delivery", "ledger: offset and counts of trigger partition p", "for ever", "no person"
    ),
    KeyRow(
        "d:<trigger>", "delivery", "ledger: one trigger's attempts", "7 days", "not sent, emptied"
    ),
    KeyRow("i", "ingest", "inbox: next offset and counts of partition p", "for ever", "no person"),
    KeyRow("b", "ingest", "growth: how far the last log was passed on", "for ever", "no person"),
    KeyRow("due", "delivery", "ledger: attempts to come, by time", "until sent", "no person"),
)


class Space(NamedTuple):
    """The keys of one generation of the log; a memory broker begins a new one at each start."""

    generation: str
    partition_count: int

    def key(self, partition: int, name: str) -> str:
        """Return the key `name` of a log partition.

        >>> Space("g1", 8).key(3, "m")
        'g1:8:{e:3}:m'
        """
        return f"{self.generation}:{self.partition_count}:{{e:{partition}}}:{name}"

    def ledger_key(self, partition: int, name: str) -> str:
        """Return the key `name` of the delivery ledger of a trigger partition."""
        return f"{self.generation}:{self.partition_count}:{{t:{partition}}}:{name}"

    def bridge_key(self, partition: int) -> str:
        """Return the key of how far a partition of the log's last version has been passed on."""
        return f"{self.generation}:{self.partition_count}:{{i:{partition}}}:b"

    def inbox_key(self, partition: int) -> str:
        """Return the key of the progress of an inbox partition."""
        return f"{self.generation}:{self.partition_count}:{{i:{partition}}}:i"


def node_name(tenant: str, node_id: str) -> str:
    """Return the name of a node's key inside its partition."""
    return f"s:{tenant}:{node_id}"


def registrar_name(tenant: str, birth_id: str) -> str:
    """Return the name of a registrar entry inside the registrar's partition."""
    return f"R:{tenant}/{birth_id}"
