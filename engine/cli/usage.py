"""Help and wrong calls in Chinese: argparse's own words, and each sentence of our commands.

As `rules/text/chinese.py` does for mistakes in files; a test holds this list to the commands.
"""

import textwrap
from argparse import Action, ArgumentParser, HelpFormatter
from collections.abc import Sequence
from typing import Any, NoReturn

from engine.cli.language import language
from engine.rules.sentence import LANGUAGES
from engine.rules.text.chinese import translated

_SENTENCES = """\
Touchpoint: events in, triggers out. => Touchpoint：事件进，触发出。
positional arguments => 位置参数
options => 选项
show this help message and exit => 显示此帮助并退出
show program's version number and exit => 显示版本号并退出
the following arguments are required: {} => 缺少参数：{}
unrecognized arguments: {} => 不认识的参数：{}
argument {}: invalid choice: {} (choose from {}) => 参数 {}：没有 {}；可选：{}
argument {}: invalid {} value: {} => 参数 {0}：{2} 不是有效的值（{1}）
argument {}: expected one argument => 参数 {}：需要一个值
argument {}: expected at least one argument => 参数 {}：至少需要一个值
argument {}: ignored explicit argument {} => 参数 {}：不需要值 {}
argument {}: not allowed with argument {} => 参数 {} 不能与 {} 同用
one of the arguments {} is required => 以下参数须有其一：{}
ambiguous option: {} could match {} => 选项 {} 不明确，可能是 {}
CSV with a line of names, or NDJSON; gzip too. Columns of {} => \
首行为列名的 CSV，或 NDJSON；也可用 gzip。列：{}
CSV, NDJSON, Parquet or columns; gzip too => CSV、NDJSON、Parquet 或按列分隔的文本；也可用 gzip
NDJSON; compressed if its name ends in .gz => NDJSON；文件名以 .gz 结尾则压缩
TYPE:VALUE with TYPE of {}; or a customer id; or a thing, such as store:s7. `erase IDENTIFIER`: \
erase the person. `split IDENTIFIER OTHER ...`: the others are somebody else => \
类型:值，类型为 {}；或客户编号；或门店等对象，如 store:s7。erase 标识：删除此人。\
split 标识 其他标识 ...：其他标识属于另一个人
`topic`; or a dump of it (NDJSON); or with --mapping a file => \
topic；或其转储文件（NDJSON）；或配合 --mapping 的文件
a rule set of the log => 日志中的规则集
address of the broker (KAFKA_BOOTSTRAP) => 消息服务器地址（KAFKA_BOOTSTRAP）
all of this reason => 此原因的全部
and before, such as 7d (ago) => 截止时间，如 7d（之前）
bring a file's history through the engine => 让文件中的历史流经引擎
check, test and back-test rules, and propose them; in a demo they go live at once => \
检查、测试、回测规则并提交；演示中立即生效
check, test, publish and follow the rules of marketing => 检查、测试、发布、跟踪营销规则
copies of each partition (1) => 每个分区的副本数（1）
count from then: 2026-03-01, or 7d ago => 统计起点：2026-03-01，或 7d 之前
count until then => 统计终点
create topics and publish the rules => 创建主题并发布规则
end by itself, such as 30s => 到时自行结束，如 30s
events that came since, such as 2026-03-01 => 从何时起的事件，如 2026-03-01
folder of the contracts (topics) => 事件约定的文件夹（topics）
folder of the live rules (`topic`: what is live there) => 线上规则的文件夹（topic：那里生效的规则）
folder of the proposed rules; or one file, put among the live => \
提议的规则的文件夹；或一个文件，放入线上规则之中
folder or file => 文件夹或文件
folder or file (rules) => 文件夹或文件（rules）
for every worker to have compiled it (60); 0 asks nobody => \
等所有工作进程编译好的秒数（60）；0 则不等
for those who read the history => 写给查看历史的人
go on with more partitions of the log => 把日志扩到更多分区
history to back-test over: `topic`, a file, `none` => 回测所用的历史：topic、文件或 none
how many there will be => 扩到多少个
leave alone who has been silent for longer, such as 90d => 不理会沉默更久的客户，如 90d
let a rule act no more; its goals are still counted => 下线规则；目标仍继续统计
let in what somebody else has proposed => 批准他人提交的规则
let rules about dates and silences begin with those who do nothing, too => \
让日期和沉默类规则也从什么都没做的客户开始
let this draft or shadow act; repeatable => 让此草稿或影子规则执行；可重复
list, show and retry what could not be taken => 列出、查看、重发未能接收的内容
log time per time (240) => 日志时间与真实时间之比（240）
make rules live again that were live before => 让以前生效过的规则重新生效
nobody writes to the old log any more: pass on the rest, and let time go on => \
已无人写旧日志：转完余下部分，让时间继续
of a running engine (http://127.0.0.1:8080), without REDIS_URL => \
运行中的引擎（http://127.0.0.1:8080），没有 REDIS_URL 时用
of a source with trust `proves` => 信任级别为 proves 的来源的密钥
of a source with trust `proves`, for orders => 信任级别为 proves 的来源的密钥，用于操作
of collector and page (8080) => 采集和页面的端口（8080）
of national phone numbers (CN) => 国内电话号码所属地区（CN）
of the collector (8080) => 采集的端口（8080）
of the people and their lives (1) => 模拟客户的随机种子（1）
of the rule set (v1) => 规则集的版本（v1）
of these types only => 只看这些类型
one line each => 每条一行
one line of JSON when ready, one at the end => 就绪时一行 JSON，结束时一行
one or more of work, deliver, keep, collect, with commas between => \
work、deliver、keep、collect 中的一个或多个，用逗号分隔
one part of FLOW only => 只看 FLOW 的一部分
one, whole, with its original bytes => 一条的全部内容和原始字节
only of this reason, or of all that begin with it => 只看此原因，或以此开头的原因
people a second (1000) => 每秒人数（1000）
print JSON => 输出 JSON
print one JSON object => 输出一个 JSON 对象
print one JSON object at the end => 结束时输出一个 JSON 对象
print one JSON object at the end only => 只在结束时输出一个 JSON 对象
print the JSON Schema of rule files, for editors => 输出规则文件的 JSON Schema，供编辑器使用
print the parts and what is in each => 输出各部分及其内容
processes of role work (1) => work 进程数（1）
processes of role work that share the partitions (1); 0: one for each core => \
分担分区的 work 进程数（1）；0：每个核一个
run one process: collect, work, deliver, keep => 运行一个进程：collect、work、deliver、keep
run the tests inside the files, on the engine's own core => 用引擎自身的核心运行文件中的测试
say every mistake of every file, with its place => 列出所有文件的所有错误及其位置
say what a folder or a version would change => 说明文件夹或某版本会改变什么
say what rules would have done in the past, and what that costs => \
用历史回测规则：会做什么、成本多少
say which identifiers belong together, many at once: a first load => \
批量说明哪些标识属于同一人：首次导入
say who made what live, and when => 说明谁在何时让什么生效
send the original again, to the inbox or an endpoint => 把原文重发到收件主题或接口
send to a running collector instead => 改为发送到运行中的采集端
show one person, or a shop, and why they were contacted; erase one, part one in two => \
查看一位客户或门店及触达原因；删除，或拆成两人
source key to send it with; its own source's by default => 发送所用的来源密钥；默认为其自身来源的
start the engine on this machine for your own SDK => 在本机启动引擎，供您自己的 SDK 使用
the whole engine with simulated people => 完整引擎加模拟客户
to speak (that of the locale) => 语言（默认随系统区域设置）
topics/mappings/NAME.yaml => topics/mappings/名称.yaml
topics/mappings/NAME.yaml, of a file => 文件的 topics/mappings/名称.yaml
trait that customers are grouped by => 按哪个特征给客户分组
user_id:u1, or a customer id; of a rule about shops store:s7, and so on => \
user_id:u1 或客户编号；门店等的规则写 store:s7 之类
what is live, and what each rule has done in both arms => 生效的规则，以及各规则在两组中的效果
who you are, such as li@shop => 您是谁，如 li@shop
why a rule acted on a customer, a shop or an advert, or why not => \
规则为什么对客户、门店或广告执行了，或没有执行
with names, addresses and texts, in clear => 保留姓名、地址和文本原文
write every customer's card, a line each => 写出每位客户的资料，每行一位
write every trigger's id, a line each => 写出每个触发的编号，每行一个
write the events of the log to a file, to back-test rules without a broker => \
把日志中的事件写入文件，无需消息服务器即可回测
yours (STAFF_KEY) => 您的密钥（STAFF_KEY）
"""


def asked(argv: Sequence[str]) -> str:
    """Return the language of a call: its `--lang`, before that is parsed, else the locale's."""
    for place, word in enumerate(argv):
        name, _, value = word.partition("=")
        if name == "--lang":
            value = value or next(iter(argv[place + 1 : place + 2]), "")
            return value if value in LANGUAGES else language()
    return language()


class ChineseParser(ArgumentParser):
    """Says in Chinese what argparse says; its sub-commands are such parsers too."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"formatter_class": _Chinese, **settings})

    def error(self, message: str) -> NoReturn:
        """End a wrong call: how it is called, and what was wrong."""
        self.exit(2, f"{self.format_usage()}{self.prog}：错误：{chinese(message)}\n")


class _Chinese(HelpFormatter):
    def add_usage(self, usage: Any, actions: Any, groups: Any, prefix: str | None = None) -> None:
        super().add_usage(usage, actions, groups, "用法：" if prefix is None else prefix)

    def start_section(self, heading: str | None) -> None:
        super().start_section(chinese(heading or ""))

    def add_text(self, text: str | None) -> None:
        super().add_text(text and chinese(text))

    def _get_help_string(self, action: Action) -> str | None:
        return action.help and chinese(action.help)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(text, max(width // 2, 11))  # a character takes two columns


def chinese(text: str) -> str:
    """Return a sentence of a command or of argparse in Chinese, as it is where nobody has it."""
    return translated(text, _SENTENCES)
