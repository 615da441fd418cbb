"""The totals that demo, up and replay print (WIRE.md, Totals), from what is stored and counted."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.outcome import Meta


@dataclass(slots=True)
class Totals:
    """One JSON object at the end of a run.

    `latency_ms`: real milliseconds, event received to trigger handed over, of triggers that an
    event decided (a trigger that waited is late on purpose). `churn`: labels learned, AUC or None.
    """

    events_in: int = 0
    events_applied: int = 0
    triggers: int = 0
    triggers_by_rule: dict[str, int] = field(default_factory=dict)
    held_out: int = 0
    delivered: int = 0
    dead_letters: int = 0
    duplicates: int = 0
    lost: int = 0
    latency_ms: dict[str, float | None] = field(default_factory=dict)
    customers: int = 0
    churn: dict[str, Any] = field(default_factory=dict)


def summed(metas: Sequence[Meta]) -> Counter[str]:
    """Return the counts of all partitions together."""
    total: Counter[str] = Counter()
    for meta in metas:
        total.update(meta.counts)
    return total


def unaccounted(accepted: int, counts: Counter[str]) -> int:
    """Return how many acknowledged source events are neither applied nor dropped with a reason.

    While events are still under way these are counted too; once all is drained, they are lost.
    """
    settled = (
        counts["applied"] + counts["duplicate"] + counts["dead_source"] + counts["dropped_erased"]
    )
    return max(0, accepted - settled)


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the value below which `share` (0 to 1) of the values lie, None of none.

    >>> percentile([3.0, 1.0, 2.0], 0.5)
    2.0
    """
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def tally(
    metas: Sequence[Meta],
    *,
    accepted: int,
    dead_at_door: int,
    receiver: dict[str, Any],
    speed: float,
    labels: int,
    auc: float | None,
) -> Totals:
    """Return the totals of a stack.

    `receiver`: totals of the sample receiver, with `delivered`, `duplicates` and `latencies_ms`
    (in log time); `speed`: log time per real time.
    """
    counts = summed(metas)
    by_rule = {
        code.removeprefix("trigger:"): n
        for code, n in sorted(counts.items())
        if code.startswith("trigger:")
    }
    latencies = [ms / speed for ms in receiver.get("latencies_ms", ())]
    return Totals(
        events_in=accepted,
        events_applied=counts["applied"],
        triggers=counts["triggers"],
        triggers_by_rule=by_rule,
        held_out=counts["held_out"],
        delivered=int(receiver.get("delivered", 0)),
        dead_letters=counts["dead"] + dead_at_door,
        duplicates=int(receiver.get("duplicates", 0)),
        lost=unaccounted(accepted, counts),
        latency_ms={
            "p50": _rounded(percentile(latencies, 0.5)),
            "p99": _rounded(percentile(latencies, 0.99)),
        },
        customers=counts["customers"],
        churn={"labels": labels, "auc": auc},
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
