"""Settings of a process: from the environment and nowhere else, all mistakes told at once."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from engine.errors import ConfigError
from engine.keys import Space

DEMO_SECRET = "a secret for demos that everybody knows"


@dataclass(frozen=True, slots=True)
class Settings:
    """One process's settings; each field is the environment variable of its name in upper case.

    `generation`: of the log; a new one for every new log. `log_version`: how often its partition
    count has grown, plus one (`engine grow`). `secret`: keys identifiers' hashes and
    the seals of control records; changing it is a new generation. `epoch_ms`, `speed`: the demo's
    clock: log time began at `epoch_ms` when the wall clock stood at `started_ms`, and runs `speed`
    times as fast; speed 1 with epoch 0 is the wall clock. `any_key`: source that an unknown write
    key is taken for ('' = it is refused). `endpoints`: JSON list of webhook endpoints, over those
    of the file. `rule_errors_max`: a rule that breaks more often in a minute, in one worker, is
    disabled; 0 = never. `trigger_transactions`: 1: triggers go out in Kafka transactions, for
    readers that keep no number per partition; 0: by an idempotent producer. `routes`: 1: the front
    door and the re-keyer write events to where their person is believed to live, by
    `customer.aliases`; 0: to their home, from where they are passed on.
    """

    redis_url: str = "redis://127.0.0.1:6379/0"
    kafka_bootstrap: str = "127.0.0.1:9092"
    partitions: int = 8
    generation: str = "g1"
    log_version: int = 1
    tenant: str = "demo"
    topics_dir: str = "topics"
    rules_dir: str = "rules"
    secret: str = DEMO_SECRET
    host: str = "127.0.0.1"
    port: int = 8080
    metrics_port: int = 0
    instance_id: str = ""
    batch_max: int = 200
    rule_errors_max: int = 20
    trigger_transactions: int = 0
    routes: int = 1
    tick_ms: int = 1_000
    epoch_ms: int = 0
    started_ms: int = 0
    speed: float = 1.0
    any_key: str = ""
    endpoints: str = ""
    log: str = "WARNING"

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Return the settings that an environment holds.

        Raises
        ------
        ConfigError
            With every variable that cannot be read, not only the first.
        """
        found: dict[str, Any] = {}
        wrong: list[str] = []
        for field in fields(cls):
            name = field.name.upper()
            text = environ.get(name)
            if text is None or text == "":
                continue
            default: Any = field.default
            kind = type(default)
            try:
                found[field.name] = kind(text)
            except ValueError:
                wrong.append(f"{name}={text!r} is no {kind.__name__}; such as {field.default!r}")
        settings = cls(**found)
        if not 1 <= settings.partitions <= 4096:
            wrong.append(f"PARTITIONS={settings.partitions} is outside 1 to 4096; 256 is usual")
        if settings.log_version < 1:
            wrong.append(f"LOG_VERSION={settings.log_version}; 1 is the first")
        if settings.trigger_transactions not in (0, 1):
            wrong.append(f"TRIGGER_TRANSACTIONS={settings.trigger_transactions}; 0 or 1")
        if settings.routes not in (0, 1):
            wrong.append(f"ROUTES={settings.routes}; 0 or 1")
        if settings.speed <= 0:
            wrong.append(f"SPEED={settings.speed} stops the clock; 1 is real time")
        if wrong:
            raise ConfigError("; ".join(wrong), where="environment")
        return settings

    @property
    def log_name(self) -> str:
        """The generation with the log's version: names the consumer groups and the key space."""
        return self.generation + (f".v{self.log_version}" if self.log_version > 1 else "")

    @property
    def space(self) -> Space:
        """The key space of this log in Redis."""
        return Space(self.log_name, self.partitions)

    @property
    def secret_key(self) -> bytes:
        """The secret as bytes."""
        return self.secret.encode()
