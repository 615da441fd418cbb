"""What a process and a consumer group look like from outside: memory, descriptors, threads, ids."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

PAGE = os.sysconf("SC_PAGE_SIZE")


class Vital(NamedTuple):
    """One look at a process; `rss_mb`: resident memory."""

    rss_mb: float
    descriptors: int
    threads: int


def look(pid: int) -> Vital | None:
    """Look at a process; None if it has ended."""
    folder = Path(f"/proc/{pid}")
    try:
        pages = int((folder / "statm").read_text().split()[1])
        return Vital(
            pages * PAGE / 2**20, len(os.listdir(folder / "fd")), len(os.listdir(folder / "task"))
        )
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None


def member_ids(bootstrap: str, group: str) -> set[str]:
    """Return the ids of a group's members: a member whose session expired comes back with another.

    Empty while the broker gives no answer.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap})
    (future,) = admin.describe_consumer_groups([group], request_timeout=10).values()
    try:
        return {member.member_id for member in future.result(timeout=15).members}
    except (KafkaException, TimeoutError):
        return set()


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the slope of the line through points (x, y) with the least squares; 0 of fewer than 2.

    >>> slope([(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)])
    2.0
    """
    count = len(points)
    if count < 2:
        return 0.0
    mean_x, mean_y = sum(x for x, _ in points) / count, sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0
