"""All figures of the engine as one JSON object: `make bench`, or `make bench ARGS="--runs 1"`.

Each figure stands beside its baseline of the same run; medians of `--runs`. Units are in the names:
CPU us per event unless another one is given. The machine's other work moves all of them.
"""

import argparse
import asyncio
import shutil
import statistics
from collections.abc import Callable, Coroutine
from typing import Any

import orjson

from tests.bench import collector, pipeline, stages
from tests.bench.fence import fence_over_unfenced
from tests.bench.load import rule_texts

MANY_CUSTOMERS = 1_000_000
EVENTS = 40_000
Figures = dict[str, float]  # by name


def median(runs: int, measure: Callable[[], Coroutine[Any, Any, Figures]]) -> Figures:
    """Return the median of each figure."""
    found = [asyncio.run(measure()) for _ in range(runs)]
    return {name: round(statistics.median(each[name] for each in found), 2) for name in found[0]}


def staged(runs: int, count: int | None, *, stages_too: bool = False, **more: Any) -> Any:
    """Return the figures of the fold with `count` rules (None: those of the project)."""
    rules = None if count is None else rule_texts(count)
    given: dict[str, Any] = {"events": EVENTS, "customers": 2_000, "rules": rules, **more}
    return median(runs, lambda: stages.measure(**given, stages=stages_too))


def thinking(runs: int, count: int) -> float:
    """Return what thinking costs, without churn, with `count` rules."""
    return float(staged(runs, count, stages_too=True)["think"])


def main() -> None:
    """Print the object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--apache", action="store_true", help="the broker is Apache Kafka")
    given = parser.parse_args()
    runs = given.runs
    whole = pipeline.measure(
        count=60_000, customers=2_000, runs=runs, apache=given.apache, rate=10_000
    )
    parts = staged(runs, 20, stages_too=True)
    sizes = {count: staged(runs, count)["all"] for count in (10, 1_000, 5_000)}
    few, many = (
        staged(runs, 20, customers=customers, known=True)["all"]
        for customers in (10_000, MANY_CUSTOMERS)
    )
    found = {
        "cpu_us_per_event": {
            "shell": whole["shell"],
            "decode": parts["decode"],
            "load": parts["load"],
            "think_20_rules": parts["think"],
            "think_1000_rules": thinking(runs, 1_000),
            "think_5000_rules": thinking(runs, 5_000),
            "churn": parts["churn"],
            "commit": parts["commit"],
            "forward": parts["forward"],
            "total": whole["total"],
        },
        "cpu_us_at_10k_per_s": whole["cpu_us_at_10k_per_s"],
        "events_per_s": whole["events_per_s"],
        "plain_faust_cpu_us": whole["plain_faust_cpu_us"],
        "ratio_to_plain_faust": whole["ratio_to_plain_faust"],
        "rules_1000_over_10": round(sizes[1_000] / sizes[10], 2),
        "rules_5000_over_10": round(sizes[5_000] / sizes[10], 2),
        "customers_1m_over_10k": round(many / few, 2),
        "latency_ms": whole["latency_ms"],
        "fence_over_unfenced": asyncio.run(fence_over_unfenced(runs)),
        "collector": doors(),
        "redis_bytes_per_customer": parts["bytes_per_customer"],
        "redis_cpu_us_per_event": parts["redis"],
        "broker": whole["broker"],
        "runs": runs,
    }
    print(orjson.dumps(found).decode())


def doors() -> dict[str, float] | None:
    """Return accepted events per CPU-second of the collector; None without wrk."""
    if shutil.which("wrk") is None:
        return None
    single, batch = (collector.measure("collector", kind, 5) for kind in ("single", "batch"))
    return {
        "single": round(1e6 / single["cpu_us_per_event"]),
        "batch100": round(1e6 / batch["cpu_us_per_event"]),
    }


if __name__ == "__main__":
    main()
