"""The alerts' own tests, tried: they find an alert that never fires, or always."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.servers import unavailable

DASHBOARDS = Path(__file__).parents[2] / "dashboards"
ALERTS: dict[str, Any] = yaml.safe_load((DASHBOARDS / "alerts.yaml").read_text(encoding="utf-8"))
NAMES = [rule["alert"] for group in ALERTS["groups"] for rule in group["rules"]]


def changed(name: str, expr: str) -> dict[str, Any]:
    """Return the alert rules with one alert's expression put in place of its own."""
    groups = [
        {
            **group,
            "rules": [
                {**rule, "expr": expr if rule["alert"] == name else rule["expr"]}
                for rule in group["rules"]
            ],
        }
        for group in ALERTS["groups"]
    ]
    return {"groups": groups}


@pytest.mark.ops
@pytest.mark.parametrize("expr", ["vector(1) < 0", "vector(1)"], ids=["never", "always"])
@pytest.mark.parametrize("name", NAMES)
def test_a_broken_alert_fails_the_alert_tests(name: str, expr: str, tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        unavailable("the alert tests need promtool on PATH")
    (tmp_path / "alerts.yaml").write_text(yaml.safe_dump(changed(name, expr)), encoding="utf-8")
    shutil.copy(DASHBOARDS / "alerts.test.yaml", tmp_path)
    command = ["promtool", "test", "rules", "alerts.test.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout
    assert f"alertname: {name}," in done.stdout + done.stderr, "it is this alert that is told"


def test_prometheus_scrapes_only_services_of_the_compose_file() -> None:
    config = yaml.safe_load((DASHBOARDS / "prometheus.yml").read_text(encoding="utf-8"))
    compose = (DASHBOARDS.parent / "docker-compose.yml").read_text(encoding="utf-8")
    services = yaml.safe_load(compose)["services"]
    found: set[str] = set()
    for job in config["scrape_configs"]:
        for known in job.get("dns_sd_configs", ()):
            found |= set(known["names"])
        for known in job.get("static_configs", ()):
            found |= {target.split(":")[0] for target in known["targets"]}
    assert found == {"collect", "work", "deliver", "keep"}
    assert found <= services.keys()


def test_runbooks_name_panels_and_dashboards_that_exist() -> None:
    text = (DASHBOARDS.parent / "docs" / "runbooks.md").read_text(encoding="utf-8")
    titles: set[str] = set()
    for path in (DASHBOARDS / "grafana" / "dashboards").glob("*.json"):
        board = json.loads(path.read_text(encoding="utf-8"))
        titles |= {shown["title"].split(" / ")[0] for shown in [board, *board["panels"]]}
    named = set(re.findall(r'"([^"]+)"', re.sub(r"`[^`]*`", "", text)))
    assert named
    assert named <= titles, named - titles
