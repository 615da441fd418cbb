"""A condition in plain words, for the reason of a trigger: English and Chinese."""

from engine.clock import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, iso
from engine.rules.expression.meaning import (
    Aggregate,
    All,
    Arithmetic,
    Choice,
    Compare,
    Const,
    Convert,
    Either,
    Given,
    ListOf,
    Meaning,
    Member,
    Not,
    Read,
    Size,
    TextTest,
)
from engine.rules.expression.types import MINOR_UNITS, Scope

LANGUAGES = ("en", "zh")
_WORDS_MAX = 12  # members of a list that are told

_UNITS = (
    (DAY_MS, " day", " 天"),
    (HOUR_MS, " hour", " 小时"),
    (MINUTE_MS, " minute", " 分钟"),
    (SECOND_MS, " second", " 秒"),
    (1, " ms", " 毫秒"),
)
_SIGNS = {
    "==": ("{} is {}", "{}为{}"),
    "!=": ("{} is not {}", "{}不是{}"),
    "<": ("{} is below {}", "{}低于{}"),
    "<=": ("{} is at most {}", "{}不超过{}"),
    ">": ("{} is above {}", "{}高于{}"),
    ">=": ("{} is at least {}", "{}至少为{}"),
}
_TEXT_TESTS = {
    "startsWith": ("{} starts with {}", "{}以{}开头"),
    "endsWith": ("{} ends with {}", "{}以{}结尾"),
    "contains": ("{} contains {}", "{}包含{}"),
}
_FIELDS = {  # of events: what their contracts call them, in words
    "value": ("value", "金额"),
    "category": ("category", "品类"),
    "items": ("number of items", "件数"),
    "product_id": ("product", "商品"),
    "order_id": ("order", "订单"),
    "cart_id": ("cart", "购物车"),
    "store_id": ("shop", "门店"),
    "coupon": ("coupon", "优惠券"),
    "method": ("method", "方式"),
    "page": ("page", "页面"),
    "stars": ("stars", "星级"),
    "sentiment": ("sentiment", "情感分"),
    "reason": ("reason", "原因"),
    "channel": ("channel", "渠道"),
    "campaign": ("campaign", "活动"),
    "waiting": ("number waiting", "排队人数"),
    "wait_minutes": ("minutes of waiting", "等待分钟数"),
    "band": ("band", "等级"),
    "risk": ("risk", "风险"),
    "city": ("city", "城市"),
    "customer": ("customers", "客户"),
    "cold_snap": ("cold snap", "寒潮"),
    "due_minutes": ("minutes promised", "承诺分钟数"),
    "dwell_s": ("seconds on the page", "停留秒数"),
    "emotion": ("emotion", "情绪分"),
    "issue": ("issue", "问题"),
    "left_share": ("share that is left", "剩余比例"),
    "negative": ("bad", "差评"),
    "points.balance": ("points", "积分余额"),
    "points.expires_on": ("points' expiry", "积分到期"),
    "previous_band": ("band before", "原等级"),
    "previous_tier": ("tier before", "原会员等级"),
    "reach": ("reach", "传播量"),
    "results": ("number of results", "结果数"),
    "rule": ("rule", "规则"),
    "score": ("score", "评分"),
    "segment": ("segment", "分群"),
    "severity": ("severity", "严重程度"),
    "solved": ("solved", "已解决"),
    "stage": ("stage", "阶段"),
    "survey": ("survey", "问卷"),
    "tier": ("tier", "会员等级"),
    "touchpoint": ("touchpoint", "触点"),
    "waited_s": ("seconds of waiting", "等待秒数"),
}
_AGGREGATES = {
    "count": ("the number of {event}", "{event}次数"),
    "sum": ("the sum of {column} of {event}", "{event}的{column}合计"),
    "avg": ("the average {column} of {event}", "{event}的平均{column}"),
    "min": ("the smallest {column} of {event}", "{event}的最小{column}"),
    "max": ("the largest {column} of {event}", "{event}的最大{column}"),
    "median": ("the median {column} of {event}", "{event}的{column}中位数"),
    "percentile": (
        "what {percent} % of the {column} of {event} do not exceed",
        "{event}的{column}第{percent}百分位",
    ),
    "distinct": ("the number of different {column} of {event}", "{event}的不同{column}数"),
    "first": ("the first {column} of {event}", "{event}的首个{column}"),
    "last": ("the last {column} of {event}", "{event}的最近{column}"),
    "age": ("the time since {event}", "距上次{event}的时间"),
    "rate": ("the pace of {event}", "{event}的频率"),
}
_RATE_OF = ("the pace of {column} of {event}", "{event}的{column}节奏")
_PERIODS = {
    "today": ("{} today", "今天{}"),
    "this_week": ("{} this week", "本周{}"),
    "this_month": ("{} this month", "本月{}"),
    "this_year": ("{} this year", "今年{}"),
}


def told(meaning: Meaning, lang: str, scope: Scope) -> str:
    """Return the condition in words of `lang`; names as `scope.labels` has them."""
    return _Teller(lang, scope).said(meaning)


def length(ms: int, lang: str) -> str:
    """Return a length of time in words.

    >>> length(5_400_000, "en"), length(7 * DAY_MS, "zh")
    ('1 hour 30 minutes', '7 天')
    """
    parts = []
    rest = abs(ms)
    for unit_ms, en, zh in _UNITS:
        n, rest = divmod(rest, unit_ms)
        if n:
            plural = "s" if n != 1 and unit_ms > 1 else ""
            parts.append(f"{n}{zh}" if lang == "zh" else f"{n}{en}{plural}")
    return ("-" if ms < 0 else "") + (" ".join(parts) or ("0 秒" if lang == "zh" else "0 seconds"))


def field(name: str, lang: str) -> str:
    """Return what a field of an event is called in words, its name where there are none."""
    words = _FIELDS.get(name)
    if words is None:
        return name.replace("_", " ").replace(".", " ")
    return words[0 if lang == "en" else 1]


class _Teller:
    def __init__(self, lang: str, scope: Scope) -> None:
        self.lang = lang
        self.chinese = lang == "zh"
        self.scope = scope

    def said(self, node: Meaning) -> str:
        match node:
            case Const():
                return self.constant(node)
            case Read():
                return self.name(node) if node.type.base != "bool" else self.yes(node, True)
            case Aggregate():
                return self.aggregate(node)
            case All(operands=operands) | Either(operands=operands):
                return self.logic(operands, isinstance(node, All))
            case Not(operand=operand):
                return self.denied(operand)
            case Given(value=value):
                return self.pick(
                    f"{self.said_name(value)} is known", f"已知{self.said_name(value)}"
                )
            case Compare(operator=operator, left=left, right=right):
                return self.pick(*_SIGNS[operator]).format(
                    self.said_name(left), self.said_name(right)
                )
            case Member(item=item, container=container):
                among = self.pick("{} is one of {}", "{}属于{}")
                return among.format(self.said_name(item), self.said_name(container))
            case TextTest(method=method, target=target, argument=argument):
                form = self.pick(*_TEXT_TESTS[method])
                return form.format(self.said_name(target), self.said_name(argument))
            case _:
                return self.said_name(node)

    def said_name(self, node: Meaning) -> str:
        """Return a value in words; a bool field is named, not asserted."""
        match node:
            case Read():
                return self.name(node)
            case ListOf(items=items):
                shown = [self.said_name(item) for item in items[:_WORDS_MAX]]
                more = self.pick(", ...", "等") if len(items) > _WORDS_MAX else ""
                return self.pick(", ", "、").join(shown) + more
            case Size(of=of):
                return self.pick(
                    f"the length of {self.said_name(of)}", f"{self.said_name(of)}的长度"
                )
            case Convert(of=of):
                return self.said_name(of)
            case Arithmetic(operator=operator, left=left, right=right):
                scaled = isinstance(right, Const) and right.value == MINOR_UNITS
                if scaled and operator == "*" and left.type.base != node.type.base == "money":
                    return self.said_name(left)  # to minor units is the compiler's own doing
                return self.bracketed(f"{self.said_name(left)} {operator} {self.said_name(right)}")
            case Choice(condition=condition, yes=yes, no=no):
                form = self.pick("({1} if {0}, else {2})", "（若{0}则{1}，否则{2}）")
                return form.format(self.said(condition), self.said_name(yes), self.said_name(no))
            case _:
                return self.said(node)

    def pick(self, en: str, zh: str) -> str:
        return zh if self.chinese else en

    def bracketed(self, text: str) -> str:
        return self.pick(f"({text})", f"（{text}）")

    def constant(self, node: Const) -> str:
        value = node.value
        if node.type.base == "money":
            return f"{value / MINOR_UNITS:.2f}".removesuffix(".00")
        if node.type.base == "duration":
            return length(value, self.lang)
        if node.type.base == "time":
            return iso(value)
        if node.type.base == "bool":
            return self.pick("yes" if value else "no", "是" if value else "否")
        if isinstance(value, float) and value.is_integer():
            return str(int(value))  # 600 seconds, not 600.0
        return f"“{value}”" if isinstance(value, str) and self.chinese else str(value)

    def name(self, node: Read) -> str:
        """Return a name by the scope's labels, the schema's own words or ours, else as it is."""
        own = f"{self.scope.types.get(node.alias, node.alias)}.{node.name}"
        for key in (node.text, own, node.name):
            if (label := self.scope.labels.get(key)) is not None:
                return label.get(self.lang, key)
        facts = {"profile": self.scope.profile, "feature": self.scope.features}
        fact = facts.get(node.source, {}).get(node.name)
        word = getattr(fact, self.lang, None)
        if isinstance(word, str):
            return word
        plain = field(node.name, self.lang)
        if node.source == "event":
            return self.pick(f"the event's {plain}", f"事件的{plain}")
        return plain

    def event(self, type: str) -> str:
        return self.scope.labels.get(type, {}).get(self.lang, type)

    def yes(self, node: Read, truth: bool) -> str:
        name, en = self.name(node), "yes" if truth else "no"
        if node.source == "event":
            return self.pick(f"{name}: {en}", f"{name}：{'是' if truth else '否'}")
        return self.pick(f"{name}: {en}", name if truth else f"未{name}")

    def aggregate(self, node: Aggregate) -> str:
        column = "" if node.column is None else self.name(node.column)
        if node.function == "distinct" and self.chinese:
            column = column.removesuffix("数")  # 不同件数, not 不同件数数
        forms = _RATE_OF if node.function == "rate" and column else _AGGREGATES[node.function]
        text = self.pick(*forms).format(
            event=self.event(node.event), column=column, percent=node.percent
        )
        if node.period:
            text = self.pick(*_PERIODS[node.period]).format(text)
        elif node.over_ms and node.window_ms is not None:
            short, long = length(node.window_ms, self.lang), length(node.over_ms, self.lang)
            text = self.pick(
                f"{text} in the last {short} against {long}", f"最近 {short}相对 {long}{text}"
            )
        elif node.window_ms is not None:
            window = length(node.window_ms, self.lang)
            text = self.pick(f"{text} in the last {window}", f"最近 {window}内{text}")
        if node.where is not None:
            where = self.said(node.where)
            text = self.pick(f"{text} where {where}", f"{text}（其中{where}）")
        return text

    def logic(self, operands: tuple[Meaning, ...], every: bool) -> str:
        parts = [
            self.bracketed(self.said(each)) if isinstance(each, All | Either) else self.said(each)
            for each in operands
        ]
        return (
            self.pick(" and ", "，且").join(parts)
            if every
            else self.pick(" or ", "，或").join(parts)
        )

    def denied(self, node: Meaning) -> str:
        if isinstance(node, Read):
            return self.yes(node, False)
        if isinstance(node, Given):
            value = self.said_name(node.value)
            return self.pick(f"{value} is not known", f"{value}未知")
        return self.pick(f"not ({self.said(node)})", f"并非（{self.said(node)}）")
