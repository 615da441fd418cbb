"""What rules cost by themselves: conditions, windows, timers, compiling. `make bench-rules`.

    python -m tests.bench.rules [--runs 5] [--events 40000]

Rules are those of `load.py`: `chatty` rules name one of 40 groups or none, `selective` ones one of
400. An event is put into its window and held against every rule that it may concern; nothing is
stored. CPU us per event, medians, with the garbage collector as in a worker; `nothing` is the same
loop without rules, `bare` what the same questions cost by themselves (`bare.py`), `kept` what it
costs to encode and decode the windows of a customer, as each batch must (A11). `compile_ms` is all
from the texts on as a worker does it (A51), `checked_ms` as who writes rules, `functions_ms` what
follows when they are read: the index by type and the function of each. A back-test has 20 rules
that ask for no score, and all of the fold: decoding, identity, profile. `windows_us` at 30 and 500
events a customer: see `windows.py`.
"""

import argparse
import gc
import statistics
from collections.abc import Callable, Sequence
from time import process_time
from typing import Any

import orjson

from engine.cli.backtest import COLLECT_AT
from engine.cli.run import GC_THRESHOLD
from engine.clock import SECOND_MS
from engine.config import Settings
from engine.events.codec import decode
from engine.events.contract import Contracts
from engine.events.model import Event
from engine.matching import match
from engine.outcome import Meta, Outcome
from engine.pipeline.state import Partition
from engine.profile.logs import exact
from engine.profile.model import Actor, Log
from engine.profile.turn import Turn
from engine.rules.compile import RuleSet, compile_rules, index
from engine.runtime.past.backtest import Run, over_events
from engine.runtime.setup import contracts_of
from engine.simulation.backtest import Watch
from tests.bench import bare
from tests.bench import windows as windows_bench
from tests.bench.load import START_MS, Wanted, events, rule_texts, wanted

CUSTOMERS = 2_000
SIZES = (10, 100, 1_000, 5_000)
TIMERS = 200_000
WINDOW_EVENTS = 60_000


def held_against(rules: RuleSet, found: list[Event]) -> float:
    """Return CPU us an event: its window, and every rule that it may concern."""
    _held(rules, found)  # conditions are compiled when they are first asked
    gc.collect()
    gc.freeze()  # a passing collection would look at every rule that the bench has compiled
    return _held(rules, found)[0]


def _held(rules: RuleSet, found: list[Event]) -> tuple[float, list[dict[str, Log]]]:
    actors = {event.ids[0]: Actor() for event in found}
    outcome = Outcome()
    for name, actor in actors.items():
        actor.keys["user_id"] = name
    warm = len(found) // 4
    for part in (found[:warm], found[warm:]):
        began = process_time()
        for event in part:
            actor = actors[event.ids[0]]
            turn = Turn("demo", event.ids[0], actor, event.at, outcome, _lateness)
            columns = rules.columns.get(event.type, exact.NOTHING)
            exact.append(actor.logs, event.type, event.at, event.data, columns)
            match.on_event(rules, turn, event)
    return (process_time() - began) * 1e6 / len(part), [actor.logs for actor in actors.values()]


def _lateness(event_type: str) -> int:
    return 10 * SECOND_MS


def one_changed(texts: dict[str, str], before: RuleSet) -> float:
    """Return CPU seconds of the next set, of which one file has another text."""
    path = max(texts)
    changed = {**texts, path: texts[path] + "# another text\n"}
    began = process_time()
    compile_rules(changed, before.contracts, version="w", before=before, is_published=True)
    return process_time() - began


def functions(rules: RuleSet) -> float:
    """Return CPU seconds to index rules that are read, and to write all of their functions."""
    began = process_time()
    made = index(rules.rules, rules.contracts, version="w")
    judges = [judge for each in made.listeners["person"].values() for judge in each.judges]
    for judge in judges:
        judge.choose({}, Actor(), 0)
    for rule in rules.rules.values():
        for step in rule.steps:
            assert step.where is not None
            step.where.holds({step.alias: {}}, Actor(), 0)
    return process_time() - began


def backtest(texts: dict[str, str], values: list[bytes], settings: Settings) -> float:
    """Return events per CPU second of a back-test over the log's own bytes, on one core."""
    rules = compile_rules(texts, contracts_of(settings), version="v")
    run = Run(Watch(rules.rules), rules)
    gc.collect()
    gc.set_threshold(COLLECT_AT)
    began = process_time()
    over_events([run], iter(values), secret=settings.secret_key, lateness_ms=_lateness)
    return len(values) / (process_time() - began)


def kept(runs: int, nothing: RuleSet, found: list[Event]) -> dict[str, float]:
    """Return bytes of a customer's windows, and CPU us to encode and decode them, in turns."""
    ours, lists = _held(nothing, found)[1], bare.logs_of(found)
    pairs = [
        windows_bench.kept("exact", ours, dict[str, Log])
        | windows_bench.kept("bare", lists, dict[str, bare.Times])
        for _ in range(runs)
    ]
    return {name: round(statistics.median(each[name] for each in pairs), 2) for name in pairs[0]}


def windows_us(runs: int, each: int) -> dict[str, float]:
    """Return CPU us an event with `each` events a customer, beside running totals."""
    found = [windows_bench.measure(WINDOW_EVENTS, each) for _ in range(runs)]
    return {name: round(statistics.median(one[name] for one in found), 2) for name in found[0]}


def timers() -> float:
    """Return CPU us per timer armed and 85 % of them cancelled before they are due."""
    state = Partition(0, 1, Meta())
    began = process_time()
    for number in range(TIMERS):
        state.outcome.timers[f"demo:u{number}|w:r:"] = START_MS + number
        if number % 100 < 85:
            state.outcome.timers[f"demo:u{number}|w:r:"] = None
        if number % 200 == 199:
            state.note_timers()
            state.begin()
    while state.pop_due(START_MS + TIMERS) is not None:
        pass
    return (process_time() - began) * 1e6 / TIMERS


def median(runs: int, measure: Callable[[], float]) -> float:
    """Return the median of some runs."""
    return round(statistics.median(measure() for _ in range(runs)), 2)


def beside(
    runs: int, rules: RuleSet, asked: Sequence[Wanted], found: list[Event]
) -> tuple[float, float]:
    """Return CPU us an event of the engine and of `bare.py`, measured in turns."""
    pairs = [(held_against(rules, found), bare.held_against(asked, found)) for _ in range(runs)]
    ours, least = (round(statistics.median(each), 2) for each in zip(*pairs, strict=True))
    return ours, least


def compiling(texts: dict[str, str], contracts: Contracts) -> tuple[RuleSet, dict[str, float]]:
    """Return (the rules, CPU ms: all, as a worker and as who checks; one changed; functions)."""
    began = process_time()
    compile_rules(texts, contracts, version="v")
    checked = process_time()
    rules = compile_rules(texts, contracts, version="v", is_published=True)
    seconds = {"checked": checked - began, "all": process_time() - checked}
    seconds |= {"one": one_changed(texts, rules), "functions": functions(rules)}
    return rules, {name: round(each * 1e3) for name, each in seconds.items()}


def measure(runs: int, count: int) -> dict[str, Any]:
    """Return all figures."""
    settings = Settings()
    contracts = contracts_of(settings)
    values = [record.value for _, record in events(settings, count, CUSTOMERS)]
    found = [decode(value) for value in values]
    nothing = compile_rules({}, contracts, version="v")
    us: dict[str, dict[str, float]] = {"chatty": {}, "selective": {}}
    bare_us: dict[str, dict[str, float]] = {"chatty": {}, "selective": {}}
    compile_ms: dict[str, float] = {}
    functions_ms: dict[str, float] = {}
    checked_ms: dict[str, float] = {}
    alone = beside(runs, nothing, (), found)
    for kind in us:
        for size in SIZES:
            name, chatty = f"rules_{size}", kind == "chatty"
            rules, ms = compiling(rule_texts(size, chatty=chatty), contracts)
            compile_ms |= {name: ms["all"], f"one_of_{size}": ms["one"]}
            functions_ms[name], checked_ms[name] = ms["functions"], ms["checked"]
            asked = wanted(size, chatty=chatty)
            us[kind][name], bare_us[kind][name] = beside(runs, rules, asked, found)
    return {
        "us_per_event": us["chatty"],
        "us_per_event_selective": us["selective"],
        "us_nothing": alone[0],
        "us_bare": bare_us["chatty"],
        "us_bare_selective": bare_us["selective"],
        "us_bare_nothing": alone[1],
        "kept": kept(runs, nothing, found),
        "windows_us": {f"events_{n}": windows_us(runs, n) for n in (30, 500)},
        "timer_us": median(runs, timers),
        "compile_ms": compile_ms,
        "functions_ms": functions_ms,
        "checked_ms": checked_ms,
        "backtest_events_per_s": round(
            median(runs, lambda: backtest(rule_texts(20), values, settings))
        ),
        "runs": runs,
    }


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--events", type=int, default=40_000)
    given = parser.parse_args()
    gc.set_threshold(GC_THRESHOLD)
    print(orjson.dumps(measure(given.runs, given.events)).decode())


if __name__ == "__main__":
    main()
