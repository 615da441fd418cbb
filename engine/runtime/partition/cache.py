"""What a partition's owner remembers of the store: values as bytes, the least lately written go.

Bytes, not objects: a person's few dozen objects lie all over memory, and fetching them from there
costs as much as decoding a fresh copy, whose parts lie side by side (`tests/bench/stages.py
--cold`); and they need three times the room.
"""

from collections.abc import Iterable, Mapping


class Cache:
    """Values by name, None for a name that the store does not have; at most `size_max` bytes."""

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._size = 0
        self._values: dict[str, bytes | None] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __getitem__(self, name: str) -> bytes | None:
        return self._values[name]

    def many(self, names: Iterable[str]) -> list[bytes | None]:
        """Return the values of names that are all here."""
        held = self._values
        return [held[name] for name in names]

    def __len__(self) -> int:
        return len(self._values)

    def update(self, values: Mapping[str, bytes | None]) -> None:
        """Take in what was read or written just now."""
        held = self._values
        for name, value in values.items():
            old = held.pop(name, None)  # out and in again: the order is that of writing
            held[name] = value
            self._size += (len(value) if value else 0) - (len(old) if old else 0)

    def shrink(self) -> None:
        """Forget the oldest until a quarter is free; between two batches only."""
        if self._size <= self._size_max and len(self._values) * _ENTRY_SIZE <= self._size_max:
            return
        for name in list(self._values)[: len(self._values) // 4 + 1]:
            value = self._values.pop(name)
            self._size -= len(value) if value else 0


_ENTRY_SIZE = 100  # bytes of the table itself per name, so that absent ones are bounded too
