"""What a partition's owner remembers of the store: values as bytes, the least lately written go.

Bytes, not objects: a person's few dozen objects lie all over memory, and fetching them from there
costs as much as decoding a fresh copy, whose parts lie side by side (`tests/bench/stages.py
--cold`); and they need three times the room.
"""

from collections.abc import Iterable, Mapping


class Cache:
    """Values by name, None for a name that the store does not have; at most `size_max` bytes.

    Two generations: what is read or written goes to the young one. When that has half of the room,
    it becomes the old one, and what was old until then is forgotten.
    """

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._size = 0  # of the young
        self._young: dict[str, bytes | None] = {}
        self._old: dict[str, bytes | None] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._young or name in self._old

    def __getitem__(self, name: str) -> bytes | None:
        return self._young[name] if name in self._young else self._old[name]

    def many(self, names: Iterable[str]) -> list[bytes | None]:
        """Return the values of names that are all here."""
        young, old = self._young, self._old
        return [young[name] if name in young else old[name] for name in names]

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())

    def update(self, values: Mapping[str, bytes | None]) -> None:
        """Take in what was read or written just now."""
        young = self._young
        for name, value in values.items():
            before = young.get(name)
            young[name] = value
            self._size += (len(value) if value else 0) - (len(before) if before else 0)

    def shrink(self) -> None:
        """Forget the old ones if the young have filled half the room; between two batches only."""
        if max(self._size, len(self._young) * _ENTRY_SIZE) > self._size_max // 2:
            self._young, self._old, self._size = {}, self._young, 0


_ENTRY_SIZE = 100  # bytes of the table itself per name, so that absent ones are bounded too
