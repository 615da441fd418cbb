"""The one place where outcomes turn into metrics; one /metrics port a process."""

from collections.abc import Callable, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from engine.events.record import Record, header
from engine.metrics import TABLE
from engine.outcome import CODES, Outcome

LABEL_VALUES_MAX = 500  # per metric; what comes after is counted as `other`
_KINDS: dict[str, Callable[..., Any]] = {
    "counter": Counter,
    "gauge": Gauge,
    "histogram": Histogram,
}


class Meter:
    """Metrics by the names of the table; children are bound once."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._metrics: dict[str, Any] = {}
        self._children: dict[tuple[str, tuple[str, ...]], Any] = {}
        self._sizes: dict[str, int] = {}
        for row in TABLE:
            more = {"buckets": row.buckets} if row.buckets else {}
            make = _KINDS[row.kind]
            self._metrics[row.name] = make(
                row.name, row.help, row.labels, registry=self.registry, **more
            )

    def count(self, name: str, n: float = 1, **labels: str) -> None:
        """Add to a counter of the table; KeyError if there is none of that name."""
        self._child(name, labels).inc(n)

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        self._child(name, labels).set(value)

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add an observation to a histogram, in its unit."""
        self._child(name, labels).observe(value)

    def _child(self, name: str, labels: dict[str, str]) -> Any:
        key = (name, tuple(labels.values()))
        child = self._children.get(key)
        if child is None:
            size = self._sizes.get(name, 0)
            if size >= LABEL_VALUES_MAX:
                labels = dict.fromkeys(labels, "other")
                key = (name, tuple(labels.values()))
                if key in self._children:
                    return self._children[key]
            metric = self._metrics[name]
            child = self._children[key] = metric.labels(**labels) if labels else metric
            self._sizes[name] = size + 1
        return child

    def serve(self, port: int) -> int:
        """Serve /metrics on a port (0: none) of all interfaces; return the port."""
        if not port:
            return 0
        server, _ = start_http_server(port, registry=self.registry)
        return int(server.server_port)


def note_batch(
    meter: Meter, partition: int, records: Sequence[Record], outcome: Outcome, *, seconds: float
) -> None:
    """Count one committed batch of the fold."""
    meter.observe("engine_work_batch_records", len(records))
    meter.observe("engine_work_batch_seconds", seconds)
    kinds: dict[str, int] = {}
    for record in records:
        kind = (header(record.headers, "kind") or b"event").decode("ascii", "replace")
        kinds[kind] = kinds.get(kind, 0) + 1
    for kind, n in kinds.items():
        meter.count("engine_work_records_total", n, kind=kind)
    for rule, _ in outcome.broken:
        meter.count("engine_work_triggers_total", rule=rule, outcome="broken")
    for code, n in outcome.counts.items():
        if code.startswith("trigger:"):
            meter.count("engine_work_triggers_total", n, rule=code[8:], outcome="fired")
        elif code.startswith("stopped:"):
            why = code.split(":")[1]
            meter.count("engine_work_triggers_total", n, rule="", outcome=why)
        elif code in CODES and n > 0:
            meter.count("engine_work_events_total", n, outcome=code)
