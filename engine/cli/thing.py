"""A shop, an advert, an agent on a terminal: what happens there, what waits, what was decided."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from engine.cli.bars import WORDS as STOPS
from engine.clock import iso
from engine.matching.why.words import KINDS
from engine.profile.card import COUNTED_DAYS

LAST_MAX = 8  # events
VALUES_MAX = 3  # of one event
WORDS = {
    "en": {
        "title": "{who}  ({kind}, {id}), as of {at} UTC", "counted": "Whole days", "today": "today",
        "days": "{days} days", "last": "What happened last", "waits": "Waits", "none": "nothing",
        "decided": "Decided last", "often": "{n} times",
        "why": "Why, and why not: engine rules explain RULE {who}",
        "fired": "acted", "held_out": "held out", "shadow": "only watched",
    },
    "zh": {
        "title": "{who}（{kind}，{id}），截至 {at} UTC", "counted": "按自然日计", "today": "今天",
        "days": "{days} 天", "last": "最近发生", "waits": "等待中", "none": "无",
        "decided": "最近判断", "often": "{n} 次",
        "why": "为什么触发或未触发：engine rules explain 规则 {who}",
        "fired": "已触发", "held_out": "对照组", "shadow": "影子",
    },
}  # fmt: skip


def show(who: str, found: Mapping[str, Any], console: Console, lang: str) -> None:
    """Print the card of a thing (`runtime/cards.py`) in words of `lang`."""
    words = WORDS[lang]
    kind, at = KINDS[found["kind"]][0 if lang == "en" else 1], _minute(found["as_of"])
    title = words["title"].format(who=who, kind=kind, id=found["customer"], at=at)
    console.print(title, style="bold", markup=False, highlight=False)
    if counted := found.get("counted"):
        columns = [words["today"], *(words["days"].format(days=n) for n in COUNTED_DAYS[1:])]
        table = _table(words["counted"], *columns)
        for name, counts in counted.items():
            table.add_row(_title(found, name, lang), *(f"{n:,}" for n in counts.values()))
        console.print(table)
    events = [each for touch in found["behaviour"].values() for each in touch["recent"]]
    newest = sorted(events, key=lambda each: str(each["at"]), reverse=True)[:LAST_MAX]
    _list(console, words["last"], [_event(found, each, lang) for each in newest], words)
    waits = [each.get("words", {}).get(lang) or each["timer"] for each in found["open_waits"]]
    _list(console, words["waits"], waits, words)
    decided = [_decision(found, each, lang) for each in found["last_triggers"]]
    _list(console, words["decided"], decided, words)
    console.print(words["why"].format(who=who), style="dim", markup=False, highlight=False)


def _table(name: str, *columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(name, overflow="fold")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _list(console: Console, name: str, lines: list[str], words: Mapping[str, str]) -> None:
    console.print(f"[bold]{escape(name)}[/]")
    for line in lines or [words["none"]]:
        console.print(f"  {line}", markup=False, highlight=False)


def _title(found: Mapping[str, Any], name: str, lang: str) -> str:
    return str(found.get("titles", {}).get(name, {}).get(lang, name))


def _event(found: Mapping[str, Any], event: Mapping[str, Any], lang: str) -> str:
    values = [f"{name} = {value}" for name, value in event.items() if name not in ("at", "event")]
    shown = ", ".join(values[:VALUES_MAX])
    title = _title(found, event["event"], lang)
    return f"{_minute(event['at'])}  {title}" + (f"  ({shown})" if shown else "")


def _decision(found: Mapping[str, Any], entry: Mapping[str, Any], lang: str) -> str:
    """Return a decision: its rule, what became of it, and with a trigger its reason."""
    outcome, reason = entry["outcome"], entry.get("reason", {}).get(lang, "")
    told = WORDS[lang].get(outcome) or STOPS[lang].get(outcome, outcome)
    if (times := entry.get("times", 1)) > 1:
        told += f" ({WORDS[lang]['often'].format(n=times)})"
    title = found.get("rule_titles", {}).get(entry["rule"], {}).get(lang, entry["rule"])
    return f"{_minute(iso(entry['at']))}  {told}{STOPS[lang]['colon']}{reason or title}"


def _minute(at: str) -> str:
    return at[:16].replace("T", " ")
