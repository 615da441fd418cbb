"""Dashboards, alerts and the compose file, held to the code and to promtool (CAPABILITIES 114)."""

import importlib.util
import json
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from engine.config import Settings
from engine.metrics import BY_NAME, TABLE
from engine.runtime.observe import Meter
from tests.servers import unavailable

ROOT = Path(__file__).parents[2]
DASHBOARDS = ROOT / "dashboards"
_spec = importlib.util.spec_from_file_location("build", DASHBOARDS / "build.py")
assert _spec is not None
assert _spec.loader is not None
build = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(build)
NAMES = ("flowing.json", "firing.json")


def queries() -> list[str]:
    """Return all queries of all panels, variables filled in."""
    return [
        target["expr"].replace("$__rate_interval", "1m")
        for body in build.dashboards().values()
        for panel in body["panels"]
        for target in panel["targets"]
    ]


def unknown_metrics(query: str) -> set[str]:
    """Return the metric names of a query that the engine does not have."""
    known = set(BY_NAME) | {
        f"{row.name}_{ending}"
        for row in TABLE
        if row.kind == "histogram"
        for ending in ("bucket", "sum", "count")
    }
    return set(re.findall(r"\b(?:engine|kafka)_\w+", query)) - known


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_dashboard_is_what_build_makes(name: str) -> None:
    held = (DASHBOARDS / "grafana" / "dashboards" / name).read_text(encoding="utf-8")
    assert held == build.written(build.dashboards()[name])


@pytest.mark.parametrize("name", NAMES)
def test_panels_have_ids_units_titles_and_places_of_their_own(name: str) -> None:
    panels = build.dashboards()[name]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert " / " in panel["title"], "in both languages"
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        taken |= cells


def test_every_query_parses_and_names_only_metrics_that_exist() -> None:
    for query in queries():
        promql_parser.parse(query)
        assert unknown_metrics(query) == set(), query
    assert unknown_metrics("rate(engine_no_such_total[1m])"), "a wrong name is found"


def alert_rules() -> list[dict[str, Any]]:
    body = yaml.safe_load((DASHBOARDS / "alerts.yaml").read_text(encoding="utf-8"))
    return [rule for group in body["groups"] for rule in group["rules"]]


def test_every_alert_names_metrics_that_exist_and_a_runbook_that_exists() -> None:
    runbooks = (ROOT / "docs" / "runbooks.md").read_text(encoding="utf-8")
    anchors = {line[3:].strip().lower() for line in runbooks.splitlines() if line[:3] == "## "}
    for rule in alert_rules():
        promql_parser.parse(rule["expr"])
        assert unknown_metrics(rule["expr"]) == set()
        page, anchor = rule["annotations"]["runbook"].split("#")
        assert page == "docs/runbooks.md"
        assert anchor in anchors


def test_the_compose_file_starts_roles_that_exist_with_settings_that_exist() -> None:
    body = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    known = {field.name.upper() for field in fields(Settings)}
    env = (ROOT / ".env.example").read_text(encoding="utf-8")
    names = {line.split("=")[0] for line in env.splitlines() if line and line[0] != "#"}
    ports: list[str] = []
    roles = set()
    for service in body["services"].values():
        ports += [str(port).split(":")[-2] for port in service.get("ports", ())]
        if "build" in service:
            names |= service["environment"].keys()
            roles.add(service["command"][-1])
    assert names <= known, names - known
    assert roles == {"setup", "collect", "work", "deliver", "keep"}
    assert len(set(ports)) == len(ports)


def promtool(*arguments: str) -> None:
    if shutil.which("promtool") is None:
        unavailable("the alert tests need promtool on PATH")
    done = subprocess.run(["promtool", *arguments], cwd=DASHBOARDS, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.ops
def test_the_alerts_pass_promtools_check() -> None:
    promtool("check", "rules", "alerts.yaml")


@pytest.mark.ops
def test_the_alerts_fire_when_they_should_and_not_before() -> None:
    promtool("test", "rules", "alerts.test.yaml")


@pytest.mark.ops
def test_prometheus_runs_every_query_over_the_engines_own_metrics(tmp_path: Path) -> None:
    if shutil.which("prometheus") is None:
        unavailable("the dashboard test needs prometheus on PATH")
    meter = Meter()
    notes: dict[str, Callable[..., None]] = {
        "counter": meter.count,
        "gauge": meter.gauge,
        "histogram": meter.observe,
    }
    for row in TABLE:
        notes[row.kind](row.name, 1, **dict.fromkeys(row.labels, "x"))
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        scraped, port = one.getsockname()[1], two.getsockname()[1]
    meter.serve(scraped)
    config = tmp_path / "prometheus.yml"
    spot = f"127.0.0.1:{scraped}"
    target = f"{{job_name: t, scrape_interval: 1s, static_configs: [{{targets: ['{spot}']}}]}}"
    config.write_text(f"scrape_configs: [{target}]")
    child = subprocess.Popen(
        [
            "prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 30
        while not ask(port, "engine_tick_total"):
            assert time.monotonic() < deadline, "prometheus has scraped nothing"
            time.sleep(0.3)
        for query in queries():
            ask(port, query)
        assert ask(port, "engine_learn_auc")
    finally:
        child.terminate()
        child.wait()


def ask(port: int, query: str) -> list[Any]:
    """Return the result of an instant query; [] while the server starts."""
    url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query})
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            body = json.loads(answer.read())
    except OSError as error:
        if isinstance(error, urllib.error.HTTPError) and error.code == 400:
            raise AssertionError(error.read()) from None
        return []
    assert body["status"] == "success"
    found: list[Any] = body["data"]["result"]
    return found
