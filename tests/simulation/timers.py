"""Timers are where their node lives, and nowhere else (IDENTITY.md, J6)."""

from collections.abc import Iterator
from typing import Any

from engine.identity.registrar import ADDRESS
from engine.keys import registrar_name
from engine.pipeline.state import TICK_TIMERS_MAX, Live, decode_entry, decode_node


def astray(slots: Any, count: int) -> Iterator[str]:
    """Yield in which partitions the set of timers is not that of the live nodes.

    The registrar's own are about those who are erased.
    """
    for number in range(count):
        own = {}
        held = slots.timers(number)
        states = slots.states(number)
        for member in [member for member in held if f":{ADDRESS}/" in member]:
            tenant, _, name = member.partition("|")[0].partition(f":{ADDRESS}/")
            held = {other: score for other, score in held.items() if other != member}
            if decode_entry(states.get(registrar_name(tenant, name))) != "":
                yield f"partition {number}: {member}, and {name} is not erased"
        for name, value in states.items():
            node = decode_node(name, value) if name.startswith("s:") else None
            if isinstance(node, Live):
                for timer, armed in node.actor.timers.items():
                    own[f"{name[2:]}|{timer}"] = armed.score
        if own != held:
            yield f"partition {number}: of live nodes {sorted(own.items() ^ held.items())[:4]}"


def timers_max(seed: int) -> int:
    """Return after how many timers a seed's ticks are cut.

    Of some seeds after one or two: the fold from scratch, in one, must be equal.
    """
    return 1 + seed % 3 if seed % 4 == 2 else TICK_TIMERS_MAX
