"""`engine link`: files in, a running engine's answer out."""

import asyncio
import gzip
import threading
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import uvicorn
from starlette.applications import Starlette

from engine.adapters.memory import MemoryLog
from engine.api.orders import order_routes
from engine.cli import link, main
from engine.events import topics
from engine.ingest.sources import Source, Sources
from engine.runtime.local.embedded import free_port
from engine.runtime.orders.staff import Staff

ROWS = "user_id,phone,city\nu1,13800138000,X\nu2,12,X\nu3,,X\n"


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, MemoryLog]]:
    """URL of a front door over a log in memory."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    log, port = MemoryLog({topics.EVENTS: 4}), free_port()
    staff = Staff(log, clock=None, partition_count=4, tenant="t", secret=b"s")  # type: ignore[arg-type]
    sources = Sources({"till": Source("till", "till-key", trust="proves")})
    app = Starlette(routes=order_routes(staff, sources))
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    while not server.started:
        thread.join(0.01)
    yield f"http://127.0.0.1:{port}", log
    server.should_exit = True
    thread.join()


def run(path: Path, url: str, *more: str) -> int:
    """Run the command as a shell would."""
    return main.main(["link", str(path), "--url", url, "--key", "till-key", *more])


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz", "rows.ndjson"])
def test_a_file_of_any_format_is_linked(
    name: str,
    tmp_path: Path,
    door: tuple[str, MemoryLog],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link, "BATCH_MAX", 2)  # rows keep their number over requests
    url, log = door
    path, text = tmp_path / name, ROWS
    if "ndjson" in name:
        head, *lines = (line.split(",") for line in ROWS.split())
        text = "\n".join(orjson.dumps(dict(zip(head, row, strict=True))).decode() for row in lines)
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    assert run(path, url, "--json") == 0
    assert orjson.loads(capsys.readouterr().out) == {
        "linked": 1, "alone": 2, "wrong_count": 1, "wrong": ["row 2: `12` is no phone"],
    }  # fmt: skip
    assert len(log.records(topics.EVENTS)) == 1


def test_a_file_without_identifiers_is_refused_before_anything_is_sent(
    tmp_path: Path, door: tuple[str, MemoryLog], capsys: pytest.CaptureFixture[str]
) -> None:
    url, log = door
    path = tmp_path / "rows.csv"
    path.write_text("user_id,name\nu1,Ann\n")
    assert run(path, url) != 0
    assert "want at least two columns" in capsys.readouterr().err
    assert log.records(topics.EVENTS) == []


def test_a_key_that_proves_nothing_is_told(
    tmp_path: Path, door: tuple[str, MemoryLog], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(ROWS)
    assert main.main(["link", str(path), "--url", door[0], "--key", "guess"]) != 0
    assert "401" in capsys.readouterr().err
