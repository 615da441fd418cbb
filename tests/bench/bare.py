"""The least that rules can cost in Python: RULES.md 4's method, without what makes an engine.

Lists of times, one function a type that asks for a count once and hashes on the group. There is no
state that can be stored, no unknown, no limit, no decision. What an event costs here is what the
engine's own figures are read against, on whatever machine they were taken.
"""

from bisect import bisect_right, insort
from collections.abc import Callable, Mapping, Sequence
from time import process_time
from typing import Any

from engine.clock import HOUR_MS
from engine.events.model import Event
from engine.profile.logs.exact import LOG_MAX
from tests.bench.load import Wanted

Times = list[int]
Asked = Callable[[Mapping[str, Any], Times, int], list[int]]


def held_against(rules: Sequence[Wanted], found: Sequence[Event]) -> float:
    """Return CPU us an event, as `rules.held_against` does."""
    return _held(rules, found)[0]


def logs_of(found: Sequence[Event]) -> list[dict[str, Times]]:
    """Return what each customer's state is made of in the end."""
    return _held((), found)[1]


def _held(rules: Sequence[Wanted], found: Sequence[Event]) -> tuple[float, list[dict[str, Times]]]:
    asked = {event: _asked(event, rules) for event in {rule.event for rule in rules}}
    logs: dict[str, dict[str, Times]] = {event.ids[0]: {} for event in found}
    warm, matches = len(found) // 4, 0
    for part in (found[:warm], found[warm:]):
        began = process_time()
        for event in part:
            of_types, at = logs[event.ids[0]], event.at
            times = of_types.get(event.type)
            if times is None:
                times = of_types[event.type] = []
            if times and at < times[-1]:
                insort(times, at)
            else:
                times.append(at)
            if len(times) > LOG_MAX:
                del times[0]
            if (ask := asked.get(event.type)) is not None:
                matches += len(ask(event.data, times, at))
    return (process_time() - began) * 1e6 / len(part), list(logs.values())


def _asked(event: str, rules: Sequence[Wanted]) -> Asked:
    by_group: dict[str | None, list[tuple[int, int]]] = {}
    for number, rule in enumerate(rules):
        if rule.event == event:
            by_group.setdefault(rule.group, []).append((rule.least, number))
    field = next(rule.field for rule in rules if rule.event == event)
    lines = ["def ask(data, times, at):", "    found = []"]
    lines.append(f"    count = len(times) - bisect_right(times, at - {HOUR_MS})")
    for least, number in by_group.pop(None, ()):
        lines.append(f"    if count >= {least}: found.append({number})")
    lines.append(f"    for least, number in by_group.get(data.get({field!r}), ()):")
    lines += ["        if count >= least: found.append(number)", "    return found"]
    names: dict[str, Any] = {"bisect_right": bisect_right, "by_group": by_group}
    exec("\n".join(lines), names)
    ask: Asked = names["ask"]
    return ask
