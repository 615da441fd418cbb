"""What became of an order about rules, on a terminal: sentences, in Chinese and English."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from engine.cli.bars import WORDS as BARS
from engine.cli.bars import folded, left_out, span
from engine.rules.sentence import STATUSES
from engine.runtime.setup import FIRST

Found = Mapping[str, Any]
WORDS = {
    "en": {
        "proposed": "{version} is proposed by {author}. Rules: {rules:,}, tests passed: {tests:,}.",
        "over": "Back-test over {over}: {events:,} events, {decisions:,} decisions, "
        "{held_out:,} held out; messages {messages:,.2f}, offers at most {offers_at_most:,.2f} "
        "{currency}.",
        "untried": "It was not back-tested.",
        "more": "  more than live: {names}",
        "fewer": "  fewer than live: {names}",
        "added": "New: {names}.",
        "removed": "Gone: {names}.",
        "changed": "Changed, so what waits begins anew: {names}.",
        "status": "Another status: {names}.",
        "scope": "Tried elsewhere: {names}.",
        "unchanged": "As before: {count:,}.",
        "same": "Nothing would change.",
        "waits": "Another person lets it in: engine rules approve {version} --as NAME",
        "others": "These wait too: {names}. Once one is let in, the others are published again.",
        "live": "It is live.",
        "publish": "{version} is live: asked for by {author}, let in by {approver}; "
        "before: {previous}.",
        "alone": "{version} is live, by {author}; before: {previous}.",
        "rollback": "{version} is live again: {author} went back; before: {previous}.",
        "retire": "{version} is live: {author} retired a rule; before: {previous}.",
        "why": "Why: {why}",
        "asked": "The workers of {asked:,} partitions have it ready.",
        "unasked": "The workers were not asked whether they are ready: {unasked}.",
        "anew": "These begin with what a customer does next: {names}.",
        "everybody": "With everybody: engine rules catch-up --as NAME",
        "file": "{file} says `status: retired` now.",
        "no_file": "{file} here is not what is live: write `status: retired` into it yourself.",
        "unfit": "It runs under the contracts that it went live with. With those of today it would "
        "be refused, so these may never come true:",
        "looked": "{looked_at:,} people were looked at.",
        "now": "Live: {live}.",
        "releases": ("", "when (UTC)", "what", "version", "who", "let in by", "why"),
        "kinds": {"publish": "published", "rollback": "went back", "retire": "retired"},
        "waiting": "Waiting for another person: {version}, of {author} ({at} UTC). {why}",
        "first": "the first rules",
        "none": "nothing",
        "comma": ", ",
    },
    "zh": {
        "proposed": "{author} 提交了 {version}：{rules:,} 条规则，{tests:,} 个测试通过。",
        "over": "回测（{over}）：{events:,} 个事件，触发 {decisions:,} 次，对照组 {held_out:,} 次；"
        "消息 {messages:,.2f}，优惠最多 {offers_at_most:,.2f} {currency}。",
        "untried": "未做回测。",
        "more": "  比线上多：{names}",
        "fewer": "  比线上少：{names}",
        "added": "新增：{names}。",
        "removed": "去掉：{names}。",
        "changed": "有改动，正在等待的将重新开始：{names}。",
        "status": "状态变化：{names}。",
        "scope": "试行范围变化：{names}。",
        "unchanged": "不变：{count:,} 条规则。",
        "same": "没有任何变化。",
        "waits": "等待另一人批准：engine rules approve {version} --as 姓名",
        "others": "同时等待批准的还有：{names}。其中一个生效后，其余须重新提交。",
        "live": "已经生效。",
        "publish": "{version} 已生效：{author} 提交，{approver} 批准；之前是 {previous}。",
        "alone": "{version} 已生效：{author} 发布；之前是 {previous}。",
        "rollback": "{version} 重新生效：{author} 回滚；之前是 {previous}。",
        "retire": "{version} 已生效：{author} 下线了一条规则；之前是 {previous}。",
        "why": "原因：{why}",
        "asked": "{asked:,} 个分区的工作进程已准备好。",
        "unasked": "未询问工作进程是否准备好：{unasked}。",
        "anew": "以下规则从客户的下一个事件开始：{names}。",
        "everybody": "让所有客户都开始：engine rules catch-up --as 姓名",
        "file": "{file} 已写入 status: retired。",
        "no_file": "这里的 {file} 与生效的不同，请自行写入 status: retired。",
        "unfit": "它按当初生效时的契约运行。按今天的契约会被拒绝，因此以下规则可能永远不会触发：",
        "looked": "已查看 {looked_at:,} 位客户。",
        "now": "生效中：{live}。",
        "releases": ("", "时间（UTC）", "操作", "版本", "操作人", "批准人", "原因"),
        "kinds": {"publish": "发布", "rollback": "回滚", "retire": "下线"},
        "waiting": "等待另一人批准：{version}，{author} 提交（{at} UTC）。{why}",
        "first": "最初的规则",
        "none": "无",
        "comma": "、",
    },
}  # fmt: skip


class _Teller:
    """Prints what was found in the words of one language."""

    def __init__(self, console: Console, lang: str) -> None:
        self.words: Mapping[str, Any] = WORDS[lang]
        self.console = console
        self.lang = lang

    def say(self, word: str, found: Found, **more: Any) -> None:
        text = str(self.words[word]).format(**{**found, **more}).rstrip()
        self.console.print(folded(text, self.console.width), markup=False, highlight=False)

    def names(self, names: Sequence[str]) -> str:
        joined: str = self.words["comma"].join(names)
        return joined

    def proposal(self, found: Found) -> None:
        self.say("proposed", {**found, **found["checks"]})
        self.backtest(found["checks"]["backtest"])
        self.difference(found["diff"])
        if found["live"]:
            self.say("live", found)
            self.after(found)
        else:
            self.say("waits", found)
            if found["others"]:
                told = [f"{each['version']} ({each['author']})" for each in found["others"]]
                self.say("others", {}, names=self.names(told))

    def backtest(self, tried: Any) -> None:
        if not isinstance(tried, Mapping):
            self.say("untried", {})
            return
        self.say("over", {**tried, **tried["cost"]})
        for name, sign in (("more", "+"), ("fewer", "-")):
            if tried[name]:
                counts = [f"{rule} {sign}{count:,}" for rule, count in tried[name].items()]
                self.say(name, {}, names=self.names(counts))
        for each in tried["followed"]:
            told = BARS[self.lang]["followed"].format(**each, span=span(each["within_ms"] or 0))
            self.console.print(told, style="yellow", markup=False, highlight=False)
        left_out(tried, self.console, BARS[self.lang])

    def difference(self, diff: Found) -> None:
        moved = False
        for name in ("added", "removed", "changed", "status", "scope"):
            if diff[name]:
                moved = True
                self.say(name, {}, names=self.names([self.change(each) for each in diff[name]]))
        if moved:
            told = {each["rule"] for each in diff["status"]} | set(diff["scope"])
            self.say("unchanged", {}, count=len(set(diff["unchanged"]) - told))
        else:
            self.say("same", {})

    def change(self, told: Any) -> str:
        """Return a rule's name, or what its status was and is."""
        if isinstance(told, str):
            return told
        statuses = STATUSES[self.lang]
        return f"{told['rule']} ({statuses[told['from']]} -> {statuses[told['to']]})"

    def release(self, found: Found) -> None:
        alone = found["kind"] == "publish" and "approver" not in found
        self.say("alone" if alone else found["kind"], {"previous": self.words["none"], **found})
        if found.get("why"):
            self.say("why", {}, why=self.reason(found))
        self.after(found)
        if found.get("unfit"):
            self.say("unfit", found)
            for line in found["unfit"]:
                self.console.print(line, style="yellow", markup=False, highlight=False)
        if "file" in found:
            self.say("file" if found["file_changed"] else "no_file", found)

    def reason(self, found: Found) -> str:
        """Return why somebody did it, in their own words, or in ours for the first rules."""
        why = str(found.get("why", ""))
        return str(self.words["first"]) if why == FIRST else why

    def after(self, found: Found) -> None:
        """Say who has the rules, and whom some of them do not know yet."""
        if found["asked"]:
            self.say("asked", found)
        elif found["unasked"]:
            self.say("unasked", found)
        if names := found.get("begin_with_the_next_event"):
            self.say("anew", {}, names=self.names(names))
            self.say("everybody", {})

    def look(self, found: Found) -> None:
        self.say("looked", found)

    def changes(self, found: Found) -> None:
        self.say("now", found, live=found["live"] or self.words["none"])
        self.difference(found["diff"])
        for line in found["text"].splitlines():
            style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
            self.console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)

    def history(self, found: Found) -> None:
        table = Table(box=None, pad_edge=False)
        for name in self.words["releases"]:
            table.add_column(name, overflow="fold")
        for each in found["releases"]:
            is_live = each is found["releases"][-1]
            kind = self.words["kinds"][each["kind"]]
            who = (each["author"], each.get("approver", ""), self.reason(each))
            cells = (str(each["number"]), _minute(each["at"]), kind, each["version"], *who)
            table.add_row(*map(escape, cells), style="bold" if is_live else "")
        self.console.print(table)
        for each in found["waiting"]:
            self.say("waiting", each, at=_minute(each["at"]))


def show(action: str, found: Found, console: Console, *, lang: str) -> None:
    """Print what became of an action of `publishing.ACTIONS`."""
    teller = _Teller(console, lang)
    shows: dict[str, Callable[[Found], None]] = {
        "publish": teller.proposal,
        "approve": teller.release,
        "rollback": teller.release,
        "retire": teller.release,
        "catch-up": teller.look,
        "diff": teller.changes,
        "history": teller.history,
    }
    shows[action](found)


def _minute(at: str) -> str:
    """Return an ISO instant to the minute; what is not known is 1970 there.

    >>> _minute("2026-03-01T08:30:12.000Z"), _minute("1970-01-01T00:00:00.000Z")
    ('2026-03-01 08:30', '-')
    """
    return "-" if at.startswith("1970-") else at[:16].replace("T", " ")
