"""What a back-test found, in a terminal: a line and a bar for each rule, then its answers."""

import re
from collections.abc import Mapping
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from engine.clock import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS

_PARTS = re.compile(r"\s*[^\s，、；：。]+[，、；：。]*\s*|\s+|[，、；：。]+")
BAR_WIDTH = 24
WIDE = 100  # columns of a terminal
_EIGHTHS = " ▏▎▍▌▋▊▉"
SHOWN_MAX = 8  # rows of one answer
DAYS_MAX = 31
WHO_MAX = 5
LEFT_OUT = ("duplicates", "without_contract", "passed_over")
WORDS = {
    "en": {
        "title": "{events:,} events, {customers:,} customers", "colon": ": ", "comma": ", ",
        "rule": "rule", "would": "would act", "people": "people", "held": "held out",
        "stopped": "came to nothing",
        "cost": "cost", "channels": "channels", "segments": "segments",
        "days": "days", "beats": "beats", "lost_to": "loses to", "goals": "goals",
        "goal": "{goals} of {decisions} reached the goal, held out {goals_held_out} of {held_out}",
        "silent": "never came true", "more": "more than live", "fewer": "fewer than live",
        "same": "The live rules did exactly the same: {same:,} triggers.",
        "diff": "{same:,} triggers are the same as live.",
        "sum": "{decisions:,} decisions, {held_out:,} held out",
        "spent": "messages {messages:,.2f}, offers at most {offers_at_most:,.2f} {currency}",
        "limit": "limit", "suppressed": "suppressed", "no_channel": "no consent or address",
        "systemic": "many share the cause",
        "quiet": "held by quiet hours", "expired": "too late", "condition": "condition not true",
        "scope": "outside of the pilot",
        "unknown": "something missing", "errors": "{n} errors in rules; see the dead letters' page",
        "followed": "{rule} follows every {event} one by one, {share:.0%} of all events; unless it "
        "must count from zero after it acted, `where: count(\"{event}\", {span}) >= {times}` and a "
        "limit say the same at a fraction of the cost.",
        "cut": "engine: the log was cut: what was before is not known",
        "who": "such as", "raised": "{raised:,} cases raised, since many shared the cause",
        "passed": "{count:,} lines or rows are no events and are passed over:",
        "further": "  ... and {count:,} more",
        "twice": "{duplicates:,} events came twice and count once.",
        "strange": "No contract knows {names}: nothing hears of them.",
    },
    "zh": {
        "title": "{events:,} 个事件，{customers:,} 位客户", "colon": "：", "comma": "，",
        "sum": "触发 {decisions:,} 次，对照组 {held_out:,} 次",
        "rule": "规则", "would": "将触发", "people": "客户数", "held": "对照组",
        "stopped": "未触发原因", "cost": "成本", "channels": "渠道", "segments": "分层",
        "days": "日期", "beats": "胜过", "lost_to": "输给", "goals": "目标",
        "goal": "{decisions} 次中 {goals} 次达成目标，对照组 {held_out} 次中 {goals_held_out} 次",
        "silent": "从未触发", "more": "比线上多", "fewer": "比线上少",
        "same": "与线上规则完全一致：{same:,} 次触发。", "diff": "{same:,} 次触发与线上一致。",
        "spent": "消息 {messages:,.2f}，优惠最多 {offers_at_most:,.2f} {currency}",
        "limit": "频次上限", "suppressed": "被抑制", "no_channel": "无授权或无地址",
        "systemic": "多位客户同因",
        "quiet": "静默时段推迟", "expired": "已过时效", "scope": "不在试行范围",
        "condition": "条件不成立",
        "unknown": "缺少数据", "errors": "规则出错 {n} 次",
        "followed": "{rule} 逐个跟踪每个 {event}，占全部事件的 {share:.0%}；"
        "若无须在触发后重新计数，用 where: count(\"{event}\", {span}) >= {times} "
        "加上限额，效果相同，开销小得多。",
        "cut": "engine: 日志不完整：更早的情况未知",
        "who": "例如", "raised": "因多位客户同因，上报工单 {raised:,} 个",
        "passed": "有 {count:,} 行不是事件，已略过：",
        "further": "  ……另有 {count:,} 行",
        "twice": "{duplicates:,} 个事件重复，只计一次。",
        "strange": "没有契约的事件类型：{names}，任何规则都听不到。",
    },
}  # fmt: skip


def show(found: Mapping[str, Any], console: Console, *, lang: str) -> None:
    """Print a report of `simulation/backtest.py`."""
    words = WORDS[lang]
    console.print(
        f"[bold]{words['title'].format(**found)}{words['colon']}{words['sum'].format(**found)}[/]"
    )
    console.print(words["spent"].format(**found["cost"], currency=found["currency"]))
    table = Table(box=None, pad_edge=False)
    table.add_column(words["rule"], no_wrap=True)  # a name that is broken cannot be copied
    table.add_column(words["would"], justify="right")
    table.add_column("", no_wrap=True)
    table.add_column(words["people"], justify="right")
    table.add_column(words["held"], justify="right")
    table.add_column(words["stopped"], overflow="fold")
    ranked = sorted(found["rules"], key=lambda rule: (-rule["decisions"], rule["rule"]))
    width = BAR_WIDTH if console.width >= WIDE else BAR_WIDTH // 3
    most = max((rule["decisions"] for rule in ranked), default=0)
    for rule in ranked:
        stops = [f"{words.get(why, why)} {n:,}" for why, n in rule["stopped"].items()]
        table.add_row(
            rule["rule"],
            f"{rule['decisions']:,}",
            f"[green]{bar(rule['decisions'], most, width)}[/]",
            f"{rule['customers']:,}",
            f"{rule['held_out']:,}",
            words["comma"].join(stops),
        )
    console.print(table)
    for rule in ranked:
        if rule["decisions"] or rule["lost_to"] or rule["raised"]:
            _answers(rule, console, words)
    if found["silent"]:
        names = [
            f"{name} ({words['unknown']} {n:,})" if (n := found["unknown"].get(name)) else name
            for name in found["silent"]
        ]
        told = f"{words['silent']}{words['colon']}{words['comma'].join(names)}"
        console.print(folded(told, console.width), style="yellow", markup=False, highlight=False)
    for each in found["followed"]:
        text = words["followed"].format(**each, span=span(each["within_ms"] or 0))
        console.print(text, style="yellow", markup=False)
    left_out(found, console, words)
    if found["rule_errors"]:
        console.print(words["errors"].format(n=found["rule_errors"]), style="red")
    if "diff" in found:
        _difference(found["diff"], console, words)


def left_out(found: Mapping[str, Any], console: Console, words: Mapping[str, str]) -> None:
    """Say what of the history counts for nothing: LEFT_OUT of a report."""
    told: list[str] = []
    if found["duplicates"]:
        told.append(words["twice"].format(**found))
    if strange := found["without_contract"]:
        names = words["comma"].join(f"{name} ({n:,})" for name, n in strange.items())
        told.append(words["strange"].format(names=names))
    passed = found["passed_over"]
    if passed["count"]:
        told += [words["passed"].format(**passed), *(f"  {each}" for each in passed["first"])]
        if (more := passed["count"] - len(passed["first"])) > 0:
            told.append(words["further"].format(count=more))
    for line in told:
        console.print(folded(line, console.width), style="yellow", markup=False, highlight=False)


def folded(text: str, width: int) -> str:
    """Return a text in lines of at most `width` columns, broken behind spaces and Chinese marks.

    A terminal breaks Chinese anywhere, and with it the names that stand between its commas. What
    has no such place within a line is left to it.
    """
    lines = [""]
    for part in _PARTS.findall(text):
        if lines[-1] and cell_len(lines[-1]) + cell_len(part.rstrip()) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.rstrip() if line.strip() else line for line in lines)


def span(ms: int) -> str:
    """Return a length of time as rule files write it, in one unit.

    >>> span(600_000), span(5_400_000), span(86_400_000)
    ('10m', '90m', '1d')
    """
    unit, name = next((each for each in _UNITS if ms % each[0] == 0), (1, "ms"))
    return f"{ms // unit}{name}"


_UNITS = ((DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "m"), (SECOND_MS, "s"))


def bar(value: float, most: float, width: int = BAR_WIDTH) -> str:
    """Return a bar of up to `width` characters, in eighths; something is never nothing.

    >>> bar(1, 2, 4), bar(1, 1000, 4), bar(0, 2, 4)
    ('██', '▏', '')
    """
    if not value or not most:
        return ""
    eighths = max(1, round(value / most * width * 8))
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _answers(rule: Mapping[str, Any], console: Console, words: Mapping[str, str]) -> None:
    console.print(f"\n[bold]{escape(rule['rule'])}[/]")
    for name in ("channels", "segments", "days", "lost_to", "beats"):
        values: Mapping[str, int] = rule[name]
        if not values:
            continue
        rows = list(values.items())
        rows = rows[-DAYS_MAX:] if name == "days" else rows[:SHOWN_MAX]
        table = Table(box=None, pad_edge=False, show_header=False)
        most = max(n for _, n in rows)
        for number, (key, n) in enumerate(rows):
            label = f"[dim]{words[name]}[/]" if number == 0 else ""
            table.add_row(label, escape(key), f"{n:,}", f"[cyan]{bar(n, most)}[/]")
        console.print(table)
    if rule["who"]:
        who = words["comma"].join(rule["who"][:WHO_MAX])
        console.print(f"[dim]{words['who']}[/] {escape(who)}", highlight=False)
    if rule["raised"]:
        console.print(words["raised"].format(**rule))
    if rule["goals"] or rule["goals_held_out"]:
        console.print(words["goal"].format(**rule))


def _difference(diff: Mapping[str, Any], console: Console, words: Mapping[str, str]) -> None:
    console.print()
    if diff["is_same"]:
        console.print(words["same"].format(**diff), style="green")
        return
    console.print(words["diff"].format(**diff))
    for name, style, sign in (("more", "green", "+"), ("fewer", "red", "-")):
        for rule, only in diff[name].items():
            who = words["comma"].join([words[name], *only["who"][:3]])
            console.print(f"  {sign}{only['count']:,} {escape(rule)}  ({who})", style=style)
