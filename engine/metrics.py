"""Every metric, one row each. Labels are bounded sets, never an id of a customer or an event."""

from typing import NamedTuple

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 30.0)
SIZES = (1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 200.0)


class Row(NamedTuple):
    """`kind`: counter, gauge or histogram; `help` says the unit and what a rise means."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()


TABLE = (
    Row("engine_process_tasks", "gauge", (), "asyncio tasks alive: an endless rise is a leak"),
    Row("engine_collect_requests_total", "counter", ("status",), "HTTP requests at the collector"),
    Row("engine_collect_events_total", "counter", ("source",), "events acknowledged at the door"),
    Row("engine_collect_seconds", "histogram", (), "request received to answer sent", SECONDS),
    Row("engine_rekey_events_total", "counter", ("source",), "events taken from the inbox"),
    Row("engine_dead_events_total", "counter", ("stage", "reason"), "events refused, by reason"),
    Row("engine_work_events_total", "counter", ("outcome",), "outcomes of the fold, by code"),
    Row("engine_work_records_total", "counter", ("kind",), "records folded, control ones too"),
    Row("engine_work_batch_records", "histogram", (), "records per committed batch", SIZES),
    Row("engine_work_batch_seconds", "histogram", (), "batch fetched to published", SECONDS),
    Row("engine_work_applied_seconds", "histogram", (), "event received to applied", SECONDS),
    Row("engine_work_triggers_total", "counter", ("rule", "outcome"), "decisions, by rule"),
    Row("engine_work_disabled_rules", "gauge", (), "rules that broke too often, passed over"),
    Row("engine_work_repairs_total", "counter", ("reason",), "take-overs after an error"),
    Row("engine_work_partitions", "gauge", (), "partitions owned by this worker"),
    Row("engine_work_stopped_partitions", "gauge", (), "partitions that wait for an operator"),
    Row(
        "engine_event_age_seconds",
        "gauge",
        ("partition",),
        "log time behind the last applied event",
    ),
    Row("engine_tick_total", "counter", (), "ticks written"),
    Row("engine_tick_lag_seconds", "gauge", (), "tick's now minus T: what absence waits for"),
    Row("engine_deliver_attempts_total", "counter", ("endpoint", "outcome"), "webhook attempts"),
    Row("engine_deliver_triggers_total", "counter", ("outcome",), "triggers settled, by outcome"),
    Row("engine_deliver_seconds", "histogram", (), "event received to handed over", SECONDS),
    Row("engine_deliver_due", "gauge", (), "attempts that wait for their time"),
    Row("engine_learn_labels_total", "counter", (), "matured labels learned"),
    Row("engine_learn_auc", "gauge", (), "AUC of served scores over recent labels"),
    Row("engine_goal_reached_total", "counter", ("rule", "arm"), "goals reached, by arm"),
    Row(
        "kafka_consumergroup_lag",
        "gauge",
        ("consumergroup", "topic", "partition"),
        "records behind",
    ),
    Row(
        "kafka_consumergroup_current_offset",
        "gauge",
        ("consumergroup", "topic", "partition"),
        "offset applied",
    ),
    Row("kafka_topic_partition_current_offset", "gauge", ("topic", "partition"), "log end"),
)
BY_NAME = {row.name: row for row in TABLE}
