"""Attempts to come of one endpoint: by their time, and by the time after which they are in vain."""

from heapq import heapify, heappop, heappush
from typing import NamedTuple

STALE_SHARE_MAX = 4  # heaps are rebuilt when they hold this many times the live entries
STALE_COUNT_MIN = 1_024


class Ticket(NamedTuple):
    """A job's place: the trigger partition, and its member in that partition's ledger."""

    partition: int
    member: str


class Queue:
    """Due times are ms of the real clock, expiry is log time: the two never mix."""

    def __init__(self) -> None:
        self._held: dict[Ticket, tuple[int, int]] = {}  # (due, expires_at)
        self._by_due: list[tuple[int, Ticket]] = []
        self._by_expiry: list[tuple[int, Ticket]] = []

    def __len__(self) -> int:
        return len(self._held)

    def push(self, ticket: Ticket, due: int, expires_at: int) -> None:
        """Put a ticket in, or move it to another time."""
        self._held[ticket] = (due, expires_at)
        heappush(self._by_due, (due, ticket))
        heappush(self._by_expiry, (expires_at, ticket))
        if len(self._by_due) > max(STALE_COUNT_MIN, STALE_SHARE_MAX * len(self._held)):
            self._by_due = [(at, t) for t, (at, _) in self._held.items()]
            self._by_expiry = [(until, t) for t, (_, until) in self._held.items()]
            heapify(self._by_due)
            heapify(self._by_expiry)

    def remove_partition(self, partition: int) -> None:
        """Forget the tickets of a partition that others own now."""
        for ticket in [t for t in self._held if t.partition == partition]:
            del self._held[ticket]

    def pop_expired(self, now: int) -> Ticket | None:
        """Take out a ticket that nobody may use any more; `now` is log time."""
        heap = self._by_expiry
        while heap and heap[0][0] < now:
            expires_at, ticket = heappop(heap)
            if self._held.get(ticket, (0, -1))[1] == expires_at:
                del self._held[ticket]
                return ticket
        return None

    def is_due(self, now: int) -> bool:
        """Tell whether `pop_due` has one."""
        at = self.next_due()
        return at is not None and at <= now

    def pop_due(self, now: int) -> Ticket | None:
        """Take out the ticket that has waited longest; `now` is real time."""
        if not self.is_due(now):
            return None
        _, ticket = heappop(self._by_due)
        del self._held[ticket]
        return ticket

    def next_due(self) -> int | None:
        """Return when the first is due, None when there is none."""
        heap = self._by_due
        while heap and self._held.get(heap[0][1], (-1, 0))[0] != heap[0][0]:
            heappop(heap)
        return heap[0][0] if heap else None
