"""Kafka's topics: what must be there, and whether a broker answers at all."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic, sleep
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from engine.errors import ConfigError, LogError

POLL_S = 0.1
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it must be; `config`: Kafka's own names, such as `cleanup.policy`."""

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)
    replication: int = 1


def wait_ready(bootstrap: str, *, timeout_s: float = 30.0) -> None:
    """Block until a broker answers a metadata request; LogError if none does."""
    deadline = monotonic() + timeout_s
    admin = _admin(bootstrap)
    while True:
        try:
            admin.list_topics(timeout=1.0)
            return
        except KafkaException as error:
            if monotonic() > deadline:
                raise LogError(
                    f"no broker answered within {timeout_s:g} s: {error}",
                    code="log/unreachable",
                    where=bootstrap,
                ) from error
            sleep(POLL_S)


def create_topics(bootstrap: str, specs: Sequence[TopicSpec], *, timeout_s: float = 30.0) -> None:
    """Create what is missing and block until each topic can be written to.

    Raises
    ------
    ConfigError
        If a topic exists with another partition count: the count is part of every address.
    LogError
        If the broker refuses, or stays away for `timeout_s`.
    """
    admin = _admin(bootstrap)
    found = _counts(admin, bootstrap, timeout_s)
    missing = [
        NewTopic(
            spec.name,
            num_partitions=spec.partitions,
            replication_factor=spec.replication,
            config=dict(spec.config),
        )
        for spec in specs
        if spec.name not in found
    ]
    if missing:
        # The admin client stays in a variable until its futures are done: they die with it.
        for name, future in admin.create_topics(missing, request_timeout=timeout_s).items():
            _await_creation(name, future, timeout_s)
    deadline = monotonic() + timeout_s
    while not all(spec.name in found for spec in specs):
        if monotonic() > deadline:
            raise LogError("the new topics do not show up", code="log/topics", where=bootstrap)
        found = _counts(admin, bootstrap, timeout_s)
    for spec in specs:
        if found[spec.name] != spec.partitions:
            raise ConfigError(
                f"topic {spec.name} has {found[spec.name]} partitions, want {spec.partitions}; "
                f"more partitions come by `engine grow` (docs/growing.md)",
                code="config/partitions",
            )


def partition_count(bootstrap: str, topic: str, *, timeout_s: float = 10.0) -> int:
    """Return how many partitions a topic has; blocks; LogError if there is no such topic."""
    count = _counts(_admin(bootstrap), bootstrap, timeout_s).get(topic)
    if count is None:
        raise LogError(f"there is no topic {topic}", code="log/topic", where=bootstrap)
    return count


def _admin(bootstrap: str) -> Any:
    # What goes wrong is raised; its own log would repeat it for each attempt to connect.
    return AdminClient({"bootstrap.servers": bootstrap, "log_level": 0}, logger=log)


def _counts(admin: Any, bootstrap: str, timeout_s: float) -> dict[str, int]:
    try:
        found = admin.list_topics(timeout=timeout_s).topics
    except KafkaException as error:
        raise LogError(
            f"no broker answers within {timeout_s:g} s ({error}); set KAFKA_BOOTSTRAP "
            "(and REDIS_URL, GENERATION), as `engine up` prints them",
            code="log/unreachable",
            where=bootstrap,
        ) from error
    return {
        name: len(topic.partitions)
        for name, topic in found.items()
        if topic.error is None and all(part.leader >= 0 for part in topic.partitions.values())
    }


def _await_creation(name: str, future: Any, timeout_s: float) -> None:
    try:
        future.result(timeout=timeout_s)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise LogError(f"topic {name}: {error}", code="log/topics") from error
