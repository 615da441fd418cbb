"""All names of one kind of key, on every node that has keys: for moves to another key space."""

import re
from collections import defaultdict
from collections.abc import AsyncIterator, Callable

from engine.adapters.redis.slots import SlotMap

SCAN_COUNT = 1_000  # keys looked at by one command
_MARK = "NAME"


async def walk(
    slots: SlotMap, key: Callable[[int, str], str]
) -> AsyncIterator[tuple[int, list[str]]]:
    """Go over the names that `key(partition, name)` has made keys of, some at a time.

    Each name that is there from the beginning to the end comes at least once; some come twice.
    """
    before, after = key(0, _MARK).split("0}", 1)
    after = after.removesuffix(_MARK)
    shape = re.compile(re.escape(before) + r"(\d+)}" + re.escape(after) + "(.*)", re.DOTALL)
    pattern = before + "*}" + after + "*"
    for _, connection in await slots.connections():
        try:
            await connection.connect()
            cursor = b"0"
            while True:
                await connection.send_command("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT)
                cursor, keys = await connection.read_response()
                found: dict[int, list[str]] = defaultdict(list)
                for raw in keys:
                    match = shape.fullmatch(bytes(raw).decode())
                    if match:
                        found[int(match[1])].append(match[2])
                for partition, names in found.items():
                    yield partition, names
                if bytes(cursor) == b"0":
                    break
        finally:
            await connection.disconnect(nowait=True)
