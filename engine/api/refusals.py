"""Why a command or a request is refused, in Chinese: each sentence, with the same holes.

As `rules/text/chinese.py` does for mistakes in files; a test holds this list to the code.
"""

from engine.errors import EngineError
from engine.rules.text.chinese import translated

_SENTENCES = """\
these rules are live as {} => 这些规则已经生效（{}）
tests fail:{} => 测试未通过：{}
{} errors of rules in the back-test; see `engine backtest` => \
回测中规则出错 {} 次；详见 engine backtest
{} asked for {}; another person lets it in => {1} 由 {0} 提交，须由另一人批准
{} was proposed before {} went live; publish it again => \
{0} 提交之后 {1} 已经生效；请重新提交
{} was live before; make it live again with `engine rules rollback {}` => \
{} 之前已生效过；要再次生效请运行 engine rules rollback {}
{} has proposed {} in the place of {} => {0} 已另行提交 {1}，代替 {2}
{} has proposed the same, as {}; it waits to be let in => \
{0} 已提交过相同的规则（{1}），正在等待批准
{} has gone live in the meantime; look at it, and try again => 在此期间 {} 已经生效；请查看后重试
nothing was live before {}; name what to go back to: {} => \
{} 之前没有生效过的规则集；请写明要回到哪个：{}
{} was not live before; {} was => {} 之前没有生效过；生效过的有：{}
no rule `{}` is live => 没有正在生效的规则“{}”
no rule `{}` in rule set {} => 规则集 {1} 中没有规则“{0}”
no rule {} in {} => {1} 中没有规则 {0}
no rule set `{}`; there are {} => 没有规则集“{}”；现有：{}
no rule set was ever live there; run `engine setup` => 那里从未有规则集生效；请运行 engine setup
who are you? name yourself with --as => 请用 --as 写明您是谁
`{}` is not in {}, or the key is another; see --key => “{}”不在 {} 中，或密钥不符；见 --key
want people: {name: sha256 of the key} => 应为 people: {姓名: 密钥的 sha256}
{} is not compiled at partition {} of {} after {} s; is its worker alive? \
(nothing has changed; with --wait 0 it goes live, and these stand still until it is) => \
等了 {3} 秒，{0} 在分区 {1}（共 {2} 个）仍未编译完成；工作进程还在运行吗？\
（未作任何改变；加 --wait 0 则直接生效，这些分区停到编译完成为止）
{} cannot be compiled at partition {} of {}: {} (nothing has changed) => \
{0} 在分区 {1}（共 {2} 个）无法编译：{3}（未作任何改变）
--longest {} is not a length of time; write 30s, 30m, 2h, 7d or 1h30m => \
--longest {} 不是时长；请写 30s、30m、2h、7d 或 1h30m
--rate {}: want people a second => --rate {}：应为每秒人数
who does nothing is found in the state; set REDIS_URL, KAFKA_BOOTSTRAP and GENERATION => \
什么都没做的客户要从状态中查找；请设置 REDIS_URL、KAFKA_BOOTSTRAP 和 GENERATION
no engine answers at {} ({}); start one with `engine up`, or set REDIS_URL, KAFKA_BOOTSTRAP and \
GENERATION => \
{} 没有响应（{}）；请用 engine up 启动，或设置 REDIS_URL、KAFKA_BOOTSTRAP 和 GENERATION
no broker answered within {} s: {} => {} 秒内没有消息服务器应答：{}
the new topics do not show up => 新建的主题没有出现
topic {} has {} partitions, want {}; more partitions come by `engine grow` (docs/growing.md) => \
主题 {} 有 {} 个分区，应为 {} 个；增加分区用 engine grow（docs/growing.md）
there is no topic {} => 没有主题 {}
topic {}: {} => 主题 {}：{}
no broker answers within {} s ({}); set KAFKA_BOOTSTRAP (and REDIS_URL, GENERATION), \
as `engine up` prints them => {} 秒内没有消息服务器应答（{}）；\
请设置 KAFKA_BOOTSTRAP（以及 REDIS_URL、GENERATION），engine up 启动时会打印
no identifier type `{}`; one of {} => 没有标识类型“{}”；应为 {} 之一
`{}` is no {} => “{}”不是有效的 {}
nobody has {} => 没有标识为 {} 的客户
nothing has come of {} yet => {} 尚无任何事件
rule `{}` is about customers, and {} is none; ask of one, such as {} => \
规则“{}”是关于客户的，{} 不是客户；请改问客户，如 {}
rule `{}` is about things of kind {}, and {} is none; ask of one, such as {} => \
规则“{}”是关于{}的，{} 不是；请改问，如 {}
`{}` is no time; write 2026-03-01, 2026-03-01T08:00:00+08:00, or 7d => \
“{}”不是时间；请写 2026-03-01、2026-03-01T08:00:00+08:00 或 7d
nothing lies between --since {} and --until {} => --since {} 与 --until {} 之间没有任何时间
no folder `{}` for --decisions => --decisions 所写的文件夹“{}”不存在
no folder `{}`; run from the project's root, or name another => \
没有文件夹“{}”；请在项目根目录运行，或另写一个
cannot read it: {} => 无法读取：{}
no UTF-8 at byte {} => 第 {} 字节不是 UTF-8
no event: {} => 不是事件：{}
from here on it cannot be read: {} => 从此处起无法读取：{}
from here on it cannot be read: it is no UTF-8 => 从此处起无法读取：不是 UTF-8 编码
from here on it cannot be read: Compressed file ended before the end-of-stream marker was reached \
=> 从此处起无法读取：压缩文件不完整
Parquet needs pyarrow: pip install {} => 读取 Parquet 需要 pyarrow：pip install {}
no JSON: {} => 不是 JSON：{}
want an object in each line => 每行应为一个对象
{} values, the mapping names {} columns => 有 {} 个值，映射写了 {} 列
row {}: {} => 第 {} 行：{}
row {} has no column {} => 第 {} 行没有列 {}
no row of the file counts; see `when` and `type` => 文件中没有一行算数；见映射的 `when` 和 `type`
no line of it is an event: {}; want a dump (`engine dump FILE`), \
or name the --mapping of another file => \
其中没有一行是事件：{}；应为 engine dump 的转储，或用 --mapping 说明其他文件的格式
rule set {} has {} bytes compressed; a record holds {} => \
规则集 {} 压缩后有 {} 字节；一条记录最多 {} 字节
no customer has {} => 没有标识为 {} 的客户
nobody is at {} yet => {} 处还没有客户
who is somebody else? name identifiers => 谁是另一个人？请写明标识
`{}` is no customer id; want TYPE:VALUE, or an id of 18 characters => \
“{}”不是客户编号；应为 类型:值，或18个字符的编号
want the key of a source with `trust: proves` => 需要 `trust: proves` 的来源的密钥
want {"ids": ["TYPE:VALUE", ...]} => 应为 {"ids": ["类型:值", ...]}
line {}: want {"TYPE": "VALUE", ...}, an object a line => \
第 {} 行：应为 {"类型": "值", ...}，每行一个对象
more than {} bytes => 超过 {} 字节
try again: {} => 请重试：{}
too much is under way => 正在处理的太多
no such file => 没有这个文件
no path {} => 没有路径 {}
want {} => 应为 {}
want an object => 应为一个对象
$.batch: want a list of events => $.batch：应为事件列表
{} events; a batch has at most {} => {} 个事件；一批最多 {} 个
source {} sends more than {} a second => 来源 {} 每秒超过 {} 个
unknown write key; sources and their keys are in topics/sources.yaml => \
未知的写入密钥；来源及其密钥见 topics/sources.yaml
this page may not use the key; see `origins` of the source => \
此页面不能使用该密钥；见来源的 `origins`
a body has at most {} bytes => 请求体最多 {} 字节
unzipped, at most {} bytes => 解压后最多 {} 字节
the body is no gzip: {} => 请求体不是 gzip：{}
the gzip ends too early => gzip 不完整
the body is no JSON: {} => 请求体不是 JSON：{}
its content is {} with hash {} => 内容为 {}，哈希为 {}
it cannot be read ({}) => 无法读取（{}）
it does not bear the engine's seal => 没有引擎的签封
rule set record `{}` is refused: {}; publish it again with the secret of the workers => \
规则集记录“{}”被拒绝：{}；请用工作进程的密钥重新提交
"""


def refused(error: EngineError, lang: str) -> EngineError:
    """Return an error in words of `lang`; one that nobody has translated stays as it is."""
    if lang == "zh":
        error.message = chinese(error.message)
    return error


def chinese(message: str) -> str:
    """Return the words of an error in Chinese."""
    return translated(message, _SENTENCES)
