"""Timers are where their node lives, and nowhere else (IDENTITY.md, J6)."""

from collections.abc import Iterator
from typing import Any

from engine.pipeline.state import TICK_TIMERS_MAX, Live, decode_node


def astray(slots: Any, count: int) -> Iterator[str]:
    """Yield in which partitions the set of timers is not that of the live nodes."""
    for number in range(count):
        own = {}
        for name, value in slots.states(number).items():
            node = decode_node(name, value) if name.startswith("s:") else None
            if isinstance(node, Live):
                for timer, armed in node.actor.timers.items():
                    own[f"{name[2:]}|{timer}"] = armed.score
        held = slots.timers(number)
        if own != held:
            yield f"partition {number}: of live nodes {sorted(own.items() ^ held.items())[:4]}"


def timers_max(seed: int) -> int:
    """Return after how many timers a seed's ticks are cut.

    Of some seeds after one or two: the fold from scratch, in one, must be equal.
    """
    return 1 + seed % 3 if seed % 4 == 2 else TICK_TIMERS_MAX
