"""Mistakes in Chinese: each sentence that the checker may say, with the same holes.

The English text is the key, so that a call site says a thing once; a test holds this list to the
code. What stands in a hole is a name of the file and stays, or is a word of WORDS.
"""

import re
from functools import cache

_SENTENCES = """\
a text with a comma stands in quotes => 含逗号的文本要加引号
unknown key '{}' => 没有“{}”这个键
'{}' is missing => 缺少“{}”
'{}' wants a text, got a {} => “{}”应为文本，写的是{}
want keys with values, got a {} => 应为“键: 值”，写的是{}
want a text, got a {} => 应为文本，写的是{}
'{}' is no whole number of {} to {} => “{}”不是{}到{}之间的整数
'{}' cannot be read as {} => “{}”不能作为{}
'{}' is no number => “{}”不是数字
'{}' is no instant => “{}”不是时间点
'{}' is no limit => “{}”不是限额
'{}' is no date => “{}”不是日期
'{}' is no name => “{}”不能作为名称
'{}' is no escape => “{}”不是转义符
'{}' is no expression => “{}”不是表达式
'{}' is no operator => “{}”不是运算符
'{}' is no value => “{}”不是值
'{}' is no {} => “{}”不是有效的{}
'{}' is not a length of time => “{}”不是时长
this does not make a length of time => 结果不是时长
key '{}' stands here twice => 键“{}”重复
'{}' stands here twice => “{}”重复
rule '{}' stands in {} too => 规则“{}”在{}中也有
a rule file has at most {} bytes => 规则文件最多{}字节
a rule file has at most {} values => 规则文件最多{}个值
more than {} levels inside one another => 嵌套超过{}层
another document begins here; a rule file holds one => 这里开始了另一个文档；一个规则文件只含一个
this file is no UTF-8 => 此文件不是 UTF-8 编码
save it as UTF-8 => 请另存为 UTF-8 编码
the character U+{} cannot stand here => 此处不能有字符 U+{}
delete it => 请删除
indent the keys of one step alike => 同一步骤的键要对齐缩进
write at most {} characters => 最多{}个字符
this is no text of YAML: {} => 这不是 YAML 文本：{}
& and * at the start of a value are references => 值不能以 & 或 * 开头（YAML 引用）
{} is a tag of YAML => {}是 YAML 标签
mapping values are not allowed here => 此处不能有“: ”
expected alphabetic or numeric character, but found {} => 此处不能有{}
could not find expected ':' => 缺少“:”
expected <block end>, but found {} => 缩进或引号有误，遇到{}
found character {} that cannot start any token => 不能以字符{}开头
'do' has no action => “do”下没有动作
an action does one thing => 一个动作只做一件事
'{}' has no name => “{}”没有名称
there is no {} '{}' => 没有{}“{}”
'channels' is missing => 缺少“channels”
no channel '{}' => 没有渠道“{}”
'suppress' needs 'for' => “suppress”需要“for”
'{}' has no '{}' => “{}”没有“{}”
'{{' without '}}' => “{{”没有对应的“}}”
a test has at most {} customers => 一个测试最多{}位客户
'{}' is no customer of a test => “{}”不能作为测试中的客户
write a name such as ann, or a range such as 1-20 => 请写名称（如 ann）或范围（如 1-20）
nothing happens to '{}' in this test => 此测试中没有“{}”的事件
'context' is of a rule about customers, without a guard => “context”只用于没有 guard 的客户规则
the rule has no guard => 规则没有 guard
only a rule with guard: raises an incident => 只有带 guard: 的规则才会上报
the incident raises it: add who: incident => 该工单由同因事件上报：请加 who: incident
name one of the events => 请写事件中出现的客户
an event of a test has a time and one name => 测试事件要有时间和一个名称
event '{}' has no field '{}' => 事件“{}”没有字段“{}”
unknown event type '{}' => 没有事件类型“{}”
the profile has no '{}' => 客户档案没有“{}”
the customer's local time has no '{}' => 客户当地时间没有“{}”
there is no feature '{}' => 没有特征“{}”
there is no shared condition '{}' => 没有共享条件“{}”
there is no set '{}' => 没有集合“{}”
there is no function '{}' => 没有函数“{}”
there is no segment '{}' => 没有分群“{}”
there is no '{}' here => 此处没有“{}”
'{}' is worked out, so it cannot be given => “{}”由系统计算，不能直接给定
a rule without limits can fire at every event => 没有限额的规则每个事件都可能触发
a service rule leaves nobody out, so 'holdout' has no effect => 服务类规则不留对照组，“holdout”无效
a service rule is in no group, so this has no effect => 服务类规则不属于任何组，此处无效
add kind: marketing if it is no service => 如果不是服务，请加 kind: marketing
without 'holdout' nobody can tell what the offer brings => 没有“holdout”就无法知道优惠的效果
a rule has a test that fires and one that does not => 规则要有一个触发和一个不触发的测试
'{}' happens to a {}, not to a customer => “{}”发生在{}上，不在客户上
'{}' does not name a {} => “{}”不带{}
a rule that begins with a date has no 'per' => 以日期开始的规则没有“per”
'{}' is waited for without an end => 对“{}”的等待没有期限
no rule is in group '{}', so nothing is suppressed => 没有规则属于组“{}”，不会抑制任何规则
the rule acts at once, so nothing can call it off => 规则立即执行，没有可取消的时间
the rule has no {} '{}' => 规则没有{}“{}”
no kind of thing '{}' => 没有“{}”这类对象
'when' has no step => “when”下没有步骤
a rule has at most {} steps => 规则最多{}个步骤
a rule has at most {} 'unless' => 规则最多{}个“unless”
'not' is the last step of a rule => “not”必须是最后一步
'times' needs 'within' => “times”需要“within”
'not' needs 'within' => “not”需要“within”
'schedule' is the first step, or none => “schedule”只能是第一步
'not' needs a step before it => “not”之前要有一个步骤
another step is called '{}' already => 已有步骤名为“{}”
'event', 'not', 'unless' or 'schedule' is missing => 缺少“event”、“not”、“unless”或“schedule”
an event cannot follow 'schedule' => “schedule”之后不能有事件
'{}' is a list of 1 to {} texts => “{}”应为1到{}个文本的列表
conditions name one another in a circle: {} => 条件循环引用：{}
a table has one or {} scales => 分级表有一或{}个维度
a scale has 1 to {} grades => 一个维度有1到{}个等级
'otherwise' is the last grade of a scale => “otherwise”必须是最后一个等级
no answer for {} => {}没有对应的动作
{} where true or false was expected => 应为真或假，写的是{}
{} before the : and {} after it => 冒号前是{}，冒号后是{}
{} where a list was expected after in => in 之后应为列表，写的是{}
{} where text was expected => 应为文本，写的是{}
{} where a value was expected => 应为一个值，写的是{}
{} has no size => {}没有长度
{} cannot be in a list => {}不能在列表中
{} cannot equal {} => {}不可能等于{}
{} inside a list => 列表中不能有{}
'{}' alone is no value => 单独的“{}”不是值
there are no regular expressions => 不支持正则表达式
{} is used otherwise => {}的用法不对
has() asks for one field => has() 只问一个字段
{} needs one text => {}需要一个文本
a list cannot be looked at by an aggregate => 聚合函数不能看列表
'it' stands outside of an aggregate => “it”不在聚合函数中
too much for one condition: at most {} aggregates, few nested ?: => 条件太复杂：最多{}个聚合函数
{} is a full-width character => {}是全角字符
'{}' is neither a number nor a length of time => “{}”既不是数字也不是时长
the text in quotes does not end => 引号没有结束
{} is too large => {}太大
{} is not a quotation mark => {}不是英文引号
{} is too long a time => {}时间太长
{} is above {} => {}超过{}
{} cannot be compared with {} => {}不能与{}比较
{} is neither more nor less => {}没有大小之分
{} has more than two digits after the point => {}的小数超过两位
{} is outside of {} to {} => {}不在{}到{}之间
"{}" is not one of {} => “{}”不在{}之中
{} and {} cannot be {} => {}与{}不能{}
{}() begins with the type of an event in quotes => {}() 的第一个参数是引号中的事件类型
{}() needs the field that it looks at => {}() 需要一个字段
rate() needs a short window and a longer one => rate() 需要一短一长两个时间窗
{}() inside of another aggregate => {}() 不能在另一个聚合函数中
{}() needs one window, longer than 0 => {}() 需要一个大于0的时间窗
{}() looks at one field of it => {}() 只看 it 的一个字段
{}() of {} has no meaning => 对{}用{}() 没有意义
{}() has one condition; join two by && => {}() 只有一个条件；两个条件用 && 连接
{} has no negative => {}没有负值
count() sees the newest {} events, so it is never {} => count() 只看最近{}个事件，不会到{}
ask for less, or over fewer days => 请用更小的数，或更短的时间
a thing remembers {} days => 对象只记{}天
customers are only counted, over whole days => 客户只能按整天计数
percentile() needs which one, from 1 to 99 => percentile() 需要 1 到 99 的百分位
a {} keeps distinct() or median() of {} fields at most => {}最多{}个字段用 distinct() 或 median()
these are {} => 它们是 {}
and {} more like it => 还有{}处类似错误
a guard counts customers, so it is of a rule about them => guard 按客户计数，只用于关于客户的规则
null can only be compared with a value => null 只能与值比较
"{}" is no time => “{}”不是时间
the expression has {} characters, at most {} may be => 表达式有{}个字符，最多{}个
the expression has {} words and signs, at most {} may be => 表达式有{}个词和符号，最多{}个
unexpected '{}' after a complete expression => 完整的表达式之后多了“{}”
'{}' where {} was expected => 应为 {1}，写的是“{0}”
the end where a name was expected after . => 点号之后应为名称
the end where : was expected => 到结尾仍缺少 :
there is no expression => 没有表达式
'{}' is never closed => “{}”没有闭合
nested deeper than {} => 嵌套超过{}层
'[' after a complete value => 值之后不能有“[”
'{}' where a name was expected after . => 点号之后应为名称，写的是“{}”
a value has no field '{}' => 值没有字段“{}”
{}: missing; want {} => {}：缺少，应为{}
{}: want {}, got {} => {}：应为{}，写的是{}
did you mean "{}"? => 您是不是想写 "{}"？
one of {} => 可选：{}
it has {} => 它有：{}
it does: {} => 它的动作：{}
these do: {} => 这些可以：{}
it is the event that count(), sum() and their like look at => it 是 count()、sum() 等所看的事件
compare it, as in {} == ... => 请作比较，例如 {} == ...
both must be of one kind => 两者类型要相同
use {} or {} => 用 {} 或 {}
use {} => 用 {}
name a part of it, as in {} => 写出它的一部分，例如 {}
split it into several rules => 请分成几条规则
let events lead to it => 请用事件推导出来
list it under {} in the shared file => 请在共享文件的 {} 中列出
add limits:, such as {} => 请加 limits:，例如 {}
add one test with expect: [..] and one with expect: [] => 请加 expect: [..] 与 expect: [] 的测试
add a second step, not:, times: or quiet_hours: => 请加第二个步骤、not:、times: 或 quiet_hours:
add {} to do nothing => 不做任何事请加 {}
add {} => 请加 {}
give it another name => 请换一个名称
nothing overrides another: give it another name => 不能覆盖：请换一个名称
put the condition after | on a line of its own, or in quotes => 条件写在 | 之后另起一行，或加引号
indent with spaces, not tabs => 用空格缩进，不要用制表符
end it with {} => 用 {} 结束
for customers who do nothing at all use schedule: => 针对没有任何行为的客户请用 schedule:
behind a date there is at most one 'not' => 日期之后最多一个“not”
segments stand in a file of their own => 分群写在单独的文件中
such as {} => 例如 {}
write // before a note => 注释请以 // 开头
write : and a space behind it => 写成英文冒号加空格
write {} for {} => 用 {} 代替 {1}
write {} without quotes => 去掉引号写成 {}
write "{}" if it is a text => 如果是文本请写 "{}"
write it in quotes => 请加引号
write text in double quotes => 文本请放在双引号中
write a field by its name, such as {} => 字段请写契约中的名称，例如 {}
write {} to look inside a text => 查找文本内容请写 {}
write {} for a field => 字段请写 {}
write a word, such as {} => 写一个词，例如 {}
write a share, such as {} => 写一个比例，例如 {}
write small-letters-and-dashes => 用小写字母和连字符
write small_letters_and_underscores => 用小写字母和下划线
write 1 per 7d, or 3 per day in group promo; at most {} => 例如 1 per 7d；最多{}
write 30s, 30m, 2h, 7d or 1h30m => 写成 30s、30m、2h、7d 或 1h30m
write {} => 写成 {}
'{}' is always true => “{}”总是成立
'{}' is never true => “{}”永远不会成立
'{}' and '{}' are never true together => “{}”与“{}”不可能同时成立
'where' lets no event in of which '{}' is true => “where”放行的事件中，“{}”都不会成立
it asks nothing: name a field, such as event.value => 它什么也没有问：请写字段，例如 event.value
write || where one of them is enough => 满足其一即可时请用 ||
it is 0 or more => 它不会小于0
everybody is held out, so nobody ever gets it => 所有人都在对照组，因此没有人会收到
nobody is in the scope, so nobody ever gets it => 范围内没有人，因此没有人会收到
'within' of one first event has no effect => 第一步只有一个事件时，“within”无效
add times: 2, or write it under the next step => 请加 times: 2，或写在下一步
the profile of a {} has no '{}' => {}的档案没有“{}”
there is no feature '{}' of a {} => {1}没有特征“{0}”
a {} cannot be reached by '{}' => 无法通过“{1}”联系{0}
of each {} there is one, so 'holdout' has no effect => 每个{}只有一个，因此“holdout”无效
add context: {} and write context.{} => 请加 context: {}，并写 context.{}
x == null => x == null（判断有无）
{at: 2m, NAME: {}} => {at: 2m, 事件名: {}}
"""
WORDS = {
    "text": "文本",
    "map": "映射",
    "list": "列表",
    "an amount of money": "金额",
    "a number": "数字",
    "true or false": "真假值",
    "a time": "时间",
    "a length of time": "时长",
    "a list": "列表",
    "a space": "空格",
    "the end": "结尾",
    "null": "空值",
    "offer": "优惠",
    "message": "消息",
    "case": "工单",
    "event": "事件",
    "suppress": "抑制",
    "store": "门店",
    "ad": "广告",
    "agent": "坐席",
    "topic": "话题",
    "city": "城市",
    "customer": "客户",
    "status": "状态",
    "kind": "类型",
    "repeat": "重复方式",
    "added": "相加",
    "subtracted": "相减",
    "multiplied": "相乘",
    "divided": "相除",
    "split": "求余",
    "string": "文本",
    "number": "数字",
    "none": "无",
    "nothing": "无",
    "somebody": "某人",
}
LEVELS = {"error": "错误", "warning": "警告"}


def chinese(text: str) -> str:
    """Return a message or hint in Chinese; one that nobody has translated stays as it is.

    >>> chinese("unknown key 'limit'"), chinese('did you mean "limits"?')
    ('没有“limit”这个键', '您是不是想写 "limits"？')
    """
    return translated(text, _SENTENCES)


def translated(text: str, sentences: str) -> str:
    """Return a text by a list of sentences, `English with {} for holes => Chinese` a line."""
    plain, patterns = _rows(sentences)
    if (found := plain.get(text)) is not None:
        return found
    for pattern, form in patterns:
        if match := pattern.fullmatch(text):
            return _filled(form, [_word(match, n) for n in range(1, len(match.groups()) + 1)])
    return text


def _word(match: re.Match[str], group: int) -> str:
    """Return what stands in a hole in Chinese; what is quoted is a word of the file, and stays."""
    text, before = match[group], match.string[: match.start(group)]
    return text if before.endswith(("'", '"')) else WORDS.get(text, text)


def _filled(form: str, words: list[str]) -> str:
    place = 0

    def word(hole: re.Match[str]) -> str:
        nonlocal place
        index = int(hole[1]) if hole[1] else place
        place += 1
        return words[index]

    return re.sub(r"\{(\d?)\}", word, form)


def _pattern(english: str) -> str:
    """Return the expression that finds a sentence; only a quoted hole may be empty."""
    found = re.escape(english).replace(r"'\{\}'", "'(.*?)'")
    return found.replace(r"\{\}", "(.+?)")


@cache
def _rows(sentences: str) -> tuple[dict[str, str], tuple[tuple[re.Pattern[str], str], ...]]:
    """Return (sentences without holes, the others as patterns, the most telling ones first)."""
    plain, holed = dict(WORDS), []
    for line in sentences.splitlines():
        english, _, form = line.rpartition(" => ")
        if english in _LITERAL or "{}" not in english:
            plain[english] = form
        else:
            holed.append((english, form))
    holed.sort(key=lambda row: -len(row[0].replace("{}", "")))
    patterns = tuple((re.compile(_pattern(english), re.DOTALL), form) for english, form in holed)
    return plain, patterns


_LITERAL = ("{at: 2m, NAME: {}}",)
