"""Builds the Grafana dashboards: `python dashboards/build.py` writes the JSON beside it.

One question a dashboard. A panel is a row of the tables below; its query names metrics of
`engine/metrics.py` only, which `tests/ops` holds it to.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from grafana_foundation_sdk.builders import dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DataSourceRef, GridPos

FOLDER = Path(__file__).parent / "grafana" / "dashboards"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
WIDTH, HEIGHT, COLUMNS = 8, 8, 3
RATE = "[$__rate_interval]"


class Panel(NamedTuple):
    """One panel: its title in both languages, unit, and (legend, query) pairs."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    about: str = ""


def quantile(share: float, metric: str) -> str:
    """Return the query of a quantile of a histogram."""
    return f"histogram_quantile({share}, sum by (le) (rate({metric}_bucket{RATE})))"


FLOWING = (
    Panel(
        "Events in / 接收事件",
        "cps",
        (
            ("{{source}}", f"sum by (source) (rate(engine_collect_events_total{RATE}))"),
            ("inbox", f"sum(rate(engine_rekey_events_total{RATE}))"),
        ),
    ),
    Panel(
        "Outcomes of the fold / 处理结果",
        "cps",
        (("{{outcome}}", f"sum by (outcome) (rate(engine_work_events_total{RATE}))"),),
    ),
    Panel(
        "Dead letters by reason / 死信原因",
        "cps",
        (
            (
                "{{stage}} {{reason}}",
                f"sum by (stage, reason) (rate(engine_dead_events_total{RATE}))",
            ),
        ),
    ),
    Panel(
        "Lag / 积压",
        "short",
        (
            (
                "{{consumergroup}} {{topic}}",
                "sum by (consumergroup, topic) (kafka_consumergroup_lag)",
            ),
        ),
        "Records behind the end of the log. Rises and does not fall: add a worker.",
    ),
    Panel(
        "Age of the last event / 事件延迟",
        "s",
        (("partition {{partition}}", "max by (partition) (engine_event_age_seconds)"),),
    ),
    Panel(
        "Batch: fetched to published / 批处理时间",
        "s",
        (
            ("p50", quantile(0.5, "engine_work_batch_seconds")),
            ("p99", quantile(0.99, "engine_work_batch_seconds")),
        ),
    ),
    Panel(
        "Records per batch / 每批记录数",
        "short",
        (("p50", quantile(0.5, "engine_work_batch_records")),),
    ),
    Panel(
        "Collector: request to answer / 采集响应时间",
        "s",
        (
            ("p50", quantile(0.5, "engine_collect_seconds")),
            ("p99", quantile(0.99, "engine_collect_seconds")),
        ),
    ),
    Panel(
        "Answers of the collector / 采集应答",
        "reqps",
        (("{{status}}", f"sum by (status) (rate(engine_collect_requests_total{RATE}))"),),
    ),
    Panel(
        "Repairs / 自愈",
        "cps",
        (("{{reason}}", f"sum by (reason) (rate(engine_work_repairs_total{RATE}))"),),
        "Take-overs after an error. A burst at a restart is normal.",
    ),
    Panel(
        "Partitions that wait for an operator / 停止的分区",
        "short",
        (
            ("stopped", "sum(engine_work_stopped_partitions)"),
            ("owned", "sum(engine_work_partitions)"),
        ),
    ),
    Panel(
        "Ticks / 时钟",
        "cps",
        (("ticks", f"sum(rate(engine_tick_total{RATE}))"),),
        "The clock of the log. No ticks: no absence is decided.",
    ),
)
FIRING = (
    Panel(
        "Triggers by rule / 各规则触发",
        "cps",
        (
            (
                "{{rule}}",
                f'sum by (rule) (rate(engine_work_triggers_total{{outcome="fired"}}{RATE}))',
            ),
        ),
    ),
    Panel(
        "Stopped, and why / 被拦截原因",
        "cps",
        (
            (
                "{{outcome}}",
                f'sum by (outcome) (rate(engine_work_triggers_total{{outcome!="fired"}}{RATE}))',
            ),
        ),
        "Limits, quiet hours, consent, freshness: what caps take away.",
    ),
    Panel(
        "Received to handed over / 从事件到交付",
        "s",
        (
            ("p50", quantile(0.5, "engine_deliver_seconds")),
            ("p99", quantile(0.99, "engine_deliver_seconds")),
        ),
    ),
    Panel(
        "Settled triggers / 交付结果",
        "cps",
        (("{{outcome}}", f"sum by (outcome) (rate(engine_deliver_triggers_total{RATE}))"),),
    ),
    Panel(
        "Attempts by endpoint / 各端点尝试",
        "cps",
        (
            (
                "{{endpoint}} {{outcome}}",
                f"sum by (endpoint, outcome) (rate(engine_deliver_attempts_total{RATE}))",
            ),
        ),
    ),
    Panel("Attempts to come / 等待重试", "short", (("due", "sum(engine_deliver_due)"),)),
    Panel(
        "Goals reached by arm / 目标达成",
        "cps",
        (("{{rule}} {{arm}}", f"sum by (rule, arm) (rate(engine_goal_reached_total{RATE}))"),),
    ),
    Panel(
        "Churn: AUC of served scores / 流失模型AUC",
        "percentunit",
        (("auc", "max(engine_learn_auc)"),),
    ),
    Panel(
        "Churn: labels learned / 已学习标签",
        "cps",
        (("labels", f"sum(rate(engine_learn_labels_total{RATE}))"),),
    ),
)


def build(uid: str, title: str, panels: tuple[Panel, ...]) -> dict[str, Any]:
    """Return a dashboard as Grafana's JSON."""
    builder = (
        dashboard.Dashboard(title)
        .uid(uid)
        .tags(["touchpoint"])
        .refresh("10s")
        .time("now-1h", "now")
        .timezone("browser")
        .with_variable(dashboard.DatasourceVariable("datasource").type("prometheus"))
    )
    for place, panel in enumerate(panels):
        spot = GridPos(h=HEIGHT, w=WIDTH, x=place % COLUMNS * WIDTH, y=place // COLUMNS * HEIGHT)
        drawn = (
            timeseries.Panel()
            .id(place + 1)
            .title(panel.title)
            .description(panel.about)
            .unit(panel.unit)
            .datasource(SOURCE)
            .grid_pos(spot)
        )
        for number, (legend, query) in enumerate(panel.queries):
            target = prometheus.Dataquery().expr(query).legend_format(legend)
            drawn = drawn.with_target(target.ref_id(chr(ord("A") + number)))
        builder = builder.with_panel(drawn)
    text = JSONEncoder(sort_keys=True, indent=2).encode(builder.build())
    found: dict[str, Any] = json.loads(text)
    return found


def dashboards() -> dict[str, dict[str, Any]]:
    """Return file name -> dashboard."""
    return {
        "flowing.json": build("touchpoint-flowing", "Is it flowing? / 是否畅通", FLOWING),
        "firing.json": build("touchpoint-firing", "Are rules firing? / 规则是否触发", FIRING),
    }


def written(body: dict[str, Any]) -> str:
    """Return a dashboard as it stands in its file."""
    return json.dumps(body, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name, body in dashboards().items():
        (FOLDER / name).write_text(written(body), encoding="utf-8")
