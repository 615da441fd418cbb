"""What a compiled condition costs beside a hand-written function, in the same interleaved run.

Run: `python -m tests.bench.expression`. CPU time, the best of several rounds; trust the ratios.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from engine.profile.logs import exact, windows
from engine.profile.model import Actor, Log
from engine.rules.expression.compile import compile_condition
from tests.unit.rules.expression.expression_scope import CART, NOW, SCOPE, an_actor

ROUNDS, CALLS = 7, 20_000
COLUMNS = exact.Columns(("value",), ("category",))
Events = dict[str, dict[str, Any]]


def simple(events: Events, actor: Actor, at: int) -> bool:
    """`event.value > 100.0`, by hand."""
    value = events["cart"].get("value")
    return value is not None and value > 10_000


def realistic(events: Events, actor: Actor, at: int) -> bool:
    """Five conditions, by hand."""
    cart = events["cart"]
    value, items = cart.get("value"), cart.get("items")
    category, tier = cart.get("category"), actor.traits.get("tier")
    risk = actor.scores.get("churn_risk")
    return (
        value is not None
        and value > 10_000
        and items is not None
        and items >= 2
        and category == "food"
        and tier is not None
        and tier.value in ("gold", "diamond")
        and risk is not None
        and risk > 0.4
    )


def counted(events: Events, actor: Actor, at: int) -> bool:
    """A filtered count over a log, by hand on the same bytes."""
    category = events["cart"].get("category")
    log = actor.logs.get("web.page_viewed")
    if log is None or category is None:
        return False
    return windows.count_word(log, at, 3_600_000, "category", category) >= 2


CASES: list[tuple[str, str, Callable[[Events, Actor, int], bool]]] = [
    ("simple", "event.value > 100.0", simple),
    (
        "realistic",
        'event.value > 100.0 && event.items >= 2 && event.category == "food"'
        ' && profile.tier in ["gold", "diamond"] && features.churn_risk > 0.4',
        realistic,
    ),
    ("count", 'count("web.page_viewed", 1h, it.category == cart.category) >= 2', counted),
]


def main() -> None:
    """Print CPU us per evaluation, ours and by hand, then the compiler and the windows."""
    given = {"cart": CART}, an_actor(), NOW
    for name, text, hand in CASES:
        holds = compile_condition(text, SCOPE, trigger="cart").holds
        assert holds(*given) is hand(*given) is True
        ours, by_hand = best(partial(holds, *given), partial(hand, *given))
        ratio = ours / by_hand
        print(f"{name:10} compiled {ours:6.3f} us   by hand {by_hand:6.3f} us   {ratio:.2f} x")
    text = CASES[1][1]
    compiling, _ = best(partial(compile_condition, text, SCOPE, trigger="cart"), int, calls=200)
    print(f"compile    {compiling:8.1f} us for {len(text)} characters")
    for rows in (30, exact.LOG_MAX):
        log = a_log(rows)
        count, total = best(
            partial(windows.count, log, NOW, 9_000),
            partial(windows.total, log, NOW, 9_000, "value"),
        )
        word, append = best(
            partial(windows.count_word, log, NOW, 9_000, "category", "c3"),
            partial(fresh_append, log),
            calls=2_000,
        )
        print(
            f"log of {rows:3}: count {count:.2f} us, sum {total:.2f}, count of a word {word:.2f},"
            f" append {append:.2f}"
        )


def a_log(rows: int) -> Log:
    """Return a log of one event a second, the last one a second ago."""
    logs: dict[str, Log] = {}
    for row in range(rows):
        data = {"value": 100 * row, "category": f"c{row % 7}"}
        exact.append(logs, "x", NOW - 1_000 * (rows - row), data, COLUMNS)
    return logs["x"]


def fresh_append(log: Log) -> None:
    """Append to the same log each time: its bytes are put back after."""
    assert log.numbers is not None and log.words is not None
    before = log.times, dict(log.numbers), dict(log.words)
    exact.append({"x": log}, "x", NOW, {"value": 5_000, "category": "c3"}, COLUMNS)
    log.times, log.numbers, log.words = before


def best(
    one: Callable[[], object], two: Callable[[], object], *, calls: int = CALLS
) -> tuple[float, float]:
    """Return CPU us per call of both, interleaved, the best of ROUNDS."""
    found = [float("inf"), float("inf")]
    for _ in range(ROUNDS):
        for place, function in enumerate((one, two)):
            started = time.process_time()
            for _ in range(calls):
                function()
            found[place] = min(found[place], (time.process_time() - started) / calls * 1e6)
    return found[0], found[1]


if __name__ == "__main__":
    main()
