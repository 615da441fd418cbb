"""What happens at a thing (a shop, an advert, an agent) per local day: counts, sums, distinct.

A person's log is exact and short; a thing hears of thousands. So it keeps a row a day, for DAYS_MAX
days, and of distinct values a sketch a day, whose size does not grow. A window of n days is today
and the n - 1 days before, by the calendar of the house or of the thing's `zone`.

Sketches are HyperLogLog of 2^LG_K registers: about 3 % off (1.04 / sqrt(2^LG_K)), 552 bytes a day
at most, exact for a handful. The same events in the same order give the same bytes.

Source
------
Apache DataSketches, HLL (Heule, Nunkesser, Hall 2013 for the estimator's family).
"""

from bisect import bisect_left
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from engine.events.model import Event
from engine.profile.calendar import PERIODS, first_day, local, zone_of
from engine.profile.model import Actor, Tally
from engine.profile.sums import added
from engine.profile.things import spread

DAYS_MAX = 31
LG_K = 10
SKETCHED_MAX = 3  # columns of one kind of thing: each may take 17 or 20 kB of its 64
SPREAD = "~"  # stands before a column whose spread is kept among the sketches
CUSTOMER = "customer"  # the column that stands for who did it: the event's second id


class Tallied(NamedTuple):
    """What some rule reads of one event type at a thing: columns that are summed, and sketched.

    `distinct`: whose values are counted; `spread`: whose median or percentiles are asked for.
    """

    sums: tuple[str, ...] = ()
    distinct: tuple[str, ...] = ()
    spread: tuple[str, ...] = ()


def add(actor: Actor, event: Event, wanted: Tallied) -> bool:
    """Count an event on its local day; False if that day is not kept any more."""
    tally = actor.tallies.get(event.type)
    if tally is None:
        tally = actor.tallies[event.type] = Tally()
    day = local(event.at, zone_of(actor)).date().toordinal()
    days = tally.days
    place = bisect_left(days, day)
    if place == len(days) or days[place] != day:
        if days and day <= days[-1] - DAYS_MAX:
            return False
        _open(tally, place, day)
        _forget(tally)
        place = bisect_left(tally.days, day)
    tally.counts[place] += 1
    for name in wanted.sums:
        value = event.data.get(name)
        if isinstance(value, int | float):
            sums = tally.sums.setdefault(name, [0.0] * len(tally.days))
            sums[place] += value
    for name in wanted.distinct:
        value = _who(event) if name == CUSTOMER else event.data.get(name)
        if value is not None:
            sketches = tally.sketches.setdefault(name, [b""] * len(tally.days))
            sketches[place] = _updated(sketches[place], str(value))
    for name in wanted.spread:
        value = event.data.get(name)
        if isinstance(value, int | float):
            spreads = tally.sketches.setdefault(SPREAD + name, [b""] * len(tally.days))
            spreads[place] = spread.added(spreads[place], value)
    return True


def take_back(actor: Actor, event: Event) -> None:
    """Take an event out of its day again; it had been added.

    Of a sketch nothing can be taken: it goes with the last event of its day, not before.
    """
    tally = actor.tallies.get(event.type)
    day = local(event.at, zone_of(actor)).date().toordinal()
    if tally is None or day not in tally.days:
        return
    place = tally.days.index(day)
    tally.counts[place] -= 1
    if tally.counts[place] <= 0:
        _close(tally, place)
        return
    for name, sums in tally.sums.items():
        value = event.data.get(name)
        if isinstance(value, int | float):
            sums[place] -= value
    for name, sketches in tally.sketches.items():
        value = event.data.get(name.removeprefix(SPREAD))
        if name.startswith(SPREAD) and isinstance(value, int | float):
            sketches[place] = spread.removed(sketches[place], value)


def count(actor: Actor, type: str, at: int, days: int) -> int:
    """Return how many events the last `days` local days have, that of `at` included."""
    tally, low, high = _rows(actor, type, at, days)
    return sum(tally.counts[low:high]) if tally is not None else 0


def total(actor: Actor, type: str, at: int, days: int, column: str) -> float:
    """Return the sum of a number column over those days; events without it count as 0."""
    tally, low, high = _rows(actor, type, at, days)
    return added(tally.sums.get(column, ())[low:high]) if tally is not None else 0.0


def mean(actor: Actor, type: str, at: int, days: int, column: str) -> float | None:
    """Return the average of a number column over those days, None without an event."""
    events = count(actor, type, at, days)
    return total(actor, type, at, days, column) / events if events else None


def distinct(actor: Actor, type: str, at: int, days: int, column: str) -> int:
    """Return about how many different values a column has over those days."""
    tally, low, high = _rows(actor, type, at, days)
    found = [each for each in tally.sketches.get(column, ())[low:high] if each] if tally else []
    if not found:
        return 0
    sketches = _library()
    union = sketches.hll_union(LG_K)
    for each in found:
        union.update(sketches.hll_sketch.deserialize(each))
    return int(union.get_estimate() + 0.5)


def percentile(
    actor: Actor, type: str, at: int, days: int, column: str, percent: int
) -> float | None:
    """Return about the value that `percent` of those days' do not exceed; None without one."""
    tally, low, high = _rows(actor, type, at, days)
    found = tally.sketches.get(SPREAD + column, ())[low:high] if tally is not None else ()
    return spread.percentile(found, percent)


def days_of(period: str) -> Callable[[Actor, int], int]:
    """Return the function (actor, at) -> how many local days one of PERIODS has had so far."""
    assert period in PERIODS

    def days(actor: Actor, at: int) -> int:
        today = local(at, zone_of(actor)).date()
        return (today - first_day(period, today)).days + 1

    return days


def _rows(actor: Actor, type: str, at: int, days: int) -> tuple[Tally | None, int, int]:
    tally = actor.tallies.get(type)
    if tally is None:
        return None, 0, 0
    today = local(at, zone_of(actor)).date().toordinal()
    return tally, bisect_left(tally.days, today - days + 1), bisect_left(tally.days, today + 1)


def _open(tally: Tally, place: int, day: int) -> None:
    """Put an empty day in its place."""
    tally.days.insert(place, day)
    tally.counts.insert(place, 0)
    for sums in tally.sums.values():
        sums.insert(place, 0.0)
    for sketches in tally.sketches.values():
        sketches.insert(place, b"")


def _close(tally: Tally, place: int) -> None:
    """Take a day out."""
    del tally.days[place], tally.counts[place]
    for sums in tally.sums.values():
        del sums[place]
    for sketches in tally.sketches.values():
        del sketches[place]


def _forget(tally: Tally) -> None:
    first = bisect_left(tally.days, tally.days[-1] - DAYS_MAX + 1)
    if first:
        tally.days, tally.counts = tally.days[first:], tally.counts[first:]
        tally.sums = {name: sums[first:] for name, sums in tally.sums.items()}
        tally.sketches = {name: found[first:] for name, found in tally.sketches.items()}


def _who(event: Event) -> str | None:
    return event.ids[1] if len(event.ids) > 1 else None


def _updated(sketch: bytes, value: str) -> bytes:
    sketches = _library()
    if sketch:
        found = sketches.hll_sketch.deserialize(sketch)
    else:
        found = sketches.hll_sketch(LG_K, sketches.tgt_hll_type.HLL_4)
    found.update(value)
    packed: bytes = found.serialize_compact()
    return packed


@cache
def _library() -> Any:
    # It brings numpy with it, half a second of start for workers whose rules count no such thing.
    import datasketches  # type: ignore[import-untyped]

    return datasketches
