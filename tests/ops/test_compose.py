"""The compose file, read: what has to outlive a container does, and what lives is looked at."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def volumes(service: str) -> dict[str, str]:
    """Return source -> path in the container."""
    return dict(volume.split(":")[:2] for volume in SERVICES[service].get("volumes", ()))


def test_what_is_kept_lies_in_a_named_volume() -> None:
    assert volumes("kafka")["kafka"] == SERVICES["kafka"]["environment"]["KAFKA_LOG_DIRS"]
    assert volumes("redis")["redis"] == "/data"
    assert {"kafka", "redis", "prometheus", "grafana"} == COMPOSE["volumes"].keys()


def test_every_mounted_file_exists() -> None:
    sources = {source for name in SERVICES for source in volumes(name) if source[0] == "."}
    assert sources
    assert {source for source in sources if not (ROOT / source).exists()} == set()


def test_every_service_but_the_one_shot_has_a_healthcheck() -> None:
    assert {name for name, body in SERVICES.items() if "healthcheck" not in body} == {"setup"}


def test_the_store_keeps_every_write_and_evicts_nothing() -> None:
    command = " ".join(SERVICES["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command
    assert SERVICES["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def test_roles_wait_for_setup_and_there_are_two_workers() -> None:
    roles = {name for name, body in SERVICES.items() if body.get("command", [""])[0] == "run"}
    assert roles == {"collect", "work", "deliver", "keep"}
    for name in roles:
        waits = SERVICES[name]["depends_on"]["setup"]["condition"]
        assert waits == "service_completed_successfully"
        assert SERVICES[name]["environment"]["METRICS_PORT"] == "9100", "as prometheus.yml scrapes"
    assert SERVICES["work"]["deploy"]["replicas"] == 2
