"""One record of the log, read or to be written, in the form every part of the engine passes on."""

from typing import NamedTuple
from zlib import crc32

Headers = tuple[tuple[str, bytes], ...]


class Record(NamedTuple):
    """A record as read from one partition of a topic."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: Headers = ()
    timestamp: int = 0  # UTC ms by the broker or the producer; the core never reads it


class Outgoing(NamedTuple):
    """A record to be produced, always to a partition that we name ourselves."""

    topic: str
    partition: int
    key: bytes
    value: bytes
    headers: Headers = ()


def header(headers: Headers, name: str) -> bytes | None:
    """Return the last value of a header, or None.

    >>> header((("kind", b"tick"),), "kind")
    b'tick'
    """
    found = None
    for key, value in headers:
        if key == name:
            found = value
    return found


def fingerprint(record: Record) -> int:
    """Return crc32 over key, value, sorted headers: proves that a log still ends as we saw it."""
    crc = crc32(record.value, crc32(record.key))
    for name, value in sorted(record.headers):
        crc = crc32(value, crc32(name.encode(), crc))
    return crc


def partition_of(node_id: str, partition_count: int) -> int:
    """Return the partition that a node, a registrar or an entity lives in.

    Source: WIRE.md, Ids: crc32(id as ASCII) mod P; never a client's own partitioner.

    >>> partition_of("R", 8)
    5
    """
    return crc32(node_id.encode("ascii")) % partition_count
