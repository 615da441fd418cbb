"""Builds the Grafana dashboards: panels as rows below, JSON out; `python -m dashboards.build`."""

from pathlib import Path
from typing import NamedTuple

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    GridPos,
)

FOLDER = Path(__file__).parent / "grafana" / "dashboards"
SOURCE = DataSourceRef("prometheus", "${datasource}")
COLUMNS, WIDTH, HEIGHT = 3, 8, 8  # Grafana's grid is 24 wide


class Panel(NamedTuple):
    """One panel: `queries` are (PromQL, legend), `unit` is Grafana's name of it."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    help: str


class Board(NamedTuple):
    """One dashboard; its name is its file and its uid, so links to it last."""

    name: str
    title: str
    panels: tuple[Panel, ...]


def _rate(metric: str, by: str, where: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{where}[$__rate_interval]))"


def _quantiles(metric: str) -> tuple[tuple[str, str], ...]:
    rate = f"sum by (le) (rate({metric}_bucket[$__rate_interval]))"
    return tuple(
        (f"histogram_quantile({q}, {rate})", name) for q, name in ((0.5, "p50"), (0.99, "p99"))
    )


FLOWING = Board(
    "flowing",
    "Is it flowing? / 数据在流动吗?",
    (
        Panel(
            "Events in, by source / 各来源流入事件",
            "cps",
            (
                (_rate("engine_collect_events_total", "source"), "{{source}}"),
                (_rate("engine_rekey_events_total", "source"), "{{source}}"),
            ),
            "Acknowledged at the door, and taken from the inbox.",
        ),
        Panel(
            "Applied, duplicate, dead / 已应用、重复、拒收",
            "cps",
            (
                (
                    _rate(
                        "engine_work_events_total", "outcome", '{outcome=~"applied|duplicate|late"}'
                    ),
                    "{{outcome}}",
                ),
                (_rate("engine_work_events_total", "outcome", '{outcome="dead"}'), "dead: work"),
                (_rate("engine_dead_events_total", "stage, reason"), "dead: {{stage}} {{reason}}"),
            ),
            "Applied follows what comes in; a burst of dead is a source that has changed.",
        ),
        Panel(
            "Answers of the collector / 采集接口响应",
            "reqps",
            ((_rate("engine_collect_requests_total", "status"), "{{status}}"),),
            "503 means that the broker did not take an event and the SDK keeps it.",
        ),
        Panel(
            "Consumer lag / 消费积压",
            "short",
            (
                (
                    "sum by (consumergroup, topic) (kafka_consumergroup_lag)",
                    "{{consumergroup}} {{topic}}",
                ),
            ),
            "Records behind the end of the log; a line that only rises is too little work.",
        ),
        Panel(
            "Event age / 事件年龄",
            "s",
            (("max by (partition) (engine_event_age_seconds)", "{{partition}}"),),
            "Log time behind the last applied record, by partition; one line alone is a hot one.",
        ),
        Panel(
            "Tick lag / 时钟滞后",
            "s",
            (("max(engine_tick_lag_seconds)", "lag"),),
            "What absence waits for: rules with `not` come true this much later.",
        ),
        Panel(
            "Received to applied / 接收到应用",
            "s",
            _quantiles("engine_work_applied_seconds"),
            "From the door's clock to the commit of the batch.",
        ),
        Panel(
            "Batch time / 批次耗时",
            "s",
            _quantiles("engine_work_batch_seconds"),
            "Fetched to published; Redis and the broker are in it.",
        ),
        Panel(
            "Batch size / 批次大小",
            "short",
            (
                *_quantiles("engine_work_batch_records"),
                (
                    "sum(rate(engine_work_batch_records_sum[$__rate_interval]))"
                    " / sum(rate(engine_work_batch_records_count[$__rate_interval]))",
                    "mean",
                ),
            ),
            "Records per batch; at its maximum all the time the workers are at their limit.",
        ),
        Panel(
            "Repairs / 接管修复",
            "short",
            (
                (
                    "sum by (reason) (increase(engine_work_repairs_total[$__rate_interval]))",
                    "{{reason}}",
                ),
            ),
            "Take-overs after an error; a few after a restart are usual.",
        ),
        Panel(
            "Stopped partitions / 停止的分区",
            "short",
            (
                ("sum(engine_work_stopped_partitions)", "stopped"),
                ("sum(engine_work_partitions)", "owned"),
            ),
            "A stopped partition waits for an operator; owned must be all of them.",
        ),
        Panel(
            "Ticks and records folded / 时钟与处理记录",
            "cps",
            (
                ("sum(rate(engine_tick_total[$__rate_interval]))", "ticks written"),
                (_rate("engine_work_records_total", "kind"), "{{kind}}"),
            ),
            "All kinds of records, control ones too.",
        ),
    ),
)
FIRING = Board(
    "firing",
    "Are rules firing? / 规则在触发吗?",
    (
        Panel(
            "Triggers, by rule / 各规则触发",
            "cps",
            ((_rate("engine_work_triggers_total", "rule", '{outcome="fired"}'), "{{rule}}"),),
            "A rule that falls silent has lost its event, or its field.",
        ),
        Panel(
            "Stopped, by reason / 各原因拦截",
            "cps",
            (
                (
                    _rate("engine_work_triggers_total", "outcome", '{outcome!="fired"}'),
                    "{{outcome}}",
                ),
            ),
            "Limits, consent, holdout, freshness: decided against.",
        ),
        Panel(
            "Conditions without an answer / 条件无法判断",
            "cps",
            (
                (
                    _rate(
                        "engine_work_events_total",
                        "outcome",
                        '{outcome=~"unknown|rule_errors|late_event"}',
                    ),
                    "{{outcome}}",
                ),
            ),
            "A missing value, an error in a rule, an event that came after its decision.",
        ),
        Panel(
            "Deliveries, by outcome / 各结果投递",
            "cps",
            ((_rate("engine_deliver_triggers_total", "outcome"), "{{outcome}}"),),
            "Triggers settled, each once.",
        ),
        Panel(
            "Attempts, by endpoint / 各接收端尝试",
            "cps",
            (
                (
                    _rate("engine_deliver_attempts_total", "endpoint, outcome"),
                    "{{endpoint}} {{outcome}}",
                ),
            ),
            "Attempts far above deliveries: a receiver that answers late or not at all.",
        ),
        Panel(
            "Attempts waiting / 等待中的尝试",
            "short",
            (("sum(engine_deliver_due)", "due"),),
            "Attempts that wait for their time.",
        ),
        Panel(
            "Received to handed over / 接收到送达",
            "s",
            _quantiles("engine_deliver_seconds"),
            "From the event at the door to the receiver's 2xx; the promise is a second.",
        ),
        Panel(
            "Churn AUC / 流失模型 AUC",
            "percentunit",
            (("max(engine_learn_auc)", "AUC"),),
            "Of served scores against what became of them; 50% is a coin.",
        ),
        Panel(
            "Labels learned / 已学习标签",
            "cps",
            (("sum(rate(engine_learn_labels_total[$__rate_interval]))", "labels"),),
            "Matured labels; none for days means that no score ripens.",
        ),
        Panel(
            "Goals by arm / 各组目标达成",
            "cps",
            (
                (_rate("engine_goal_reached_total", "arm"), "{{arm}}"),
                (_rate("engine_goal_reached_total", "rule, arm"), "{{rule}} {{arm}}"),
            ),
            "Reached goals of who was spoken to and who was held out; arms differ in size.",
        ),
    ),
)
BOARDS = (FLOWING, FIRING)


def text_of(board: Board) -> str:
    """Return a dashboard's JSON, as it is committed."""
    encoder = JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False)
    return encoder.encode(_built(board).build()) + "\n"


def _built(board: Board) -> dashboard.Dashboard:
    source = (
        dashboard.DatasourceVariable("datasource")
        .id("datasource")  # the SDK's default is a UUID of zeros
        .label("Data source / 数据源")
        .type("prometheus")
    )
    built = (
        dashboard.Dashboard(board.title)
        .uid(f"touchpoint-{board.name}")
        .tags(["touchpoint"])
        .time("now-1h", "now")
        .refresh("10s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
        .with_variable(source)
    )
    for place, panel in enumerate(board.panels):
        built.with_panel(_drawn(panel, place))
    return built


def _drawn(panel: Panel, place: int) -> timeseries.Panel:
    row, column = divmod(place, COLUMNS)
    legend = (
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
    )
    tooltip = (
        common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
    )
    drawn = (
        timeseries.Panel()
        .id(place + 1)  # the SDK leaves ids out, and Grafana then makes new ones at every load
        .title(panel.title)
        .description(panel.help)
        .datasource(SOURCE)
        .unit(panel.unit)
        .min(0)
        .fill_opacity(8)
        .legend(legend)
        .tooltip(tooltip)
        .grid_pos(GridPos(h=HEIGHT, w=WIDTH, x=column * WIDTH, y=row * HEIGHT))
    )
    for letter, (query, name) in zip("ABCDEF", panel.queries, strict=False):
        target = prometheus.Dataquery().datasource(SOURCE).ref_id(letter)
        drawn.with_target(target.expr(query).legend_format(name).range())
    return drawn


def main() -> None:
    """Write the JSON of every dashboard."""
    for board in BOARDS:
        (FOLDER / f"{board.name}.json").write_text(text_of(board), encoding="utf-8")


if __name__ == "__main__":
    main()
