"""Real purchases through the whole engine, every customer held against a plain fold of the file.

CAPABILITIES rows 4, 6, 38, 42. The data is not part of the project: it is looked for in
`$TOUCHPOINT_DATA`, then in `../shared/data`.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.replay.oracle import Trade, cdnow, online_retail

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("TOUCHPOINT_DATA", ROOT.parent / "shared" / "data"))


def replay(file: Path, mapping: str, customers: Path) -> dict[str, object]:
    """Run `engine replay` as a user would; return its JSON."""
    if not file.exists():
        pytest.skip(f"the data set {file.name} is not on this machine")
    command = [sys.executable, "-m", "engine.cli.main", "replay", str(file), "--json"]
    command += ["--mapping", f"topics/mappings/{mapping}.yaml", "--customers", str(customers)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def same_customers(customers: Path, expected: dict[str, Trade]) -> None:
    """Every customer of the file is in the store, with exactly its trade."""
    got = {}
    for line in customers.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        got[row.pop("user_id")] = row
    assert got.keys() == expected.keys()
    wrong = {name: (got[name], asdict(t)) for name, t in expected.items() if got[name] != asdict(t)}
    assert not wrong, list(wrong.items())[:3]


@pytest.mark.broker
@pytest.mark.redis
@pytest.mark.parametrize(
    ("file", "mapping", "oracle", "auc_min"),
    [
        ("cdnow/CDNOW_master.txt.gz", "cdnow", cdnow, 0.65),
        ("online_retail/invoices.csv.gz", "online_retail", online_retail, 0.6),
    ],
    ids=["cdnow", "online_retail"],
)
def test_every_customer_ends_as_the_file_says(
    file: str,
    mapping: str,
    oracle: Callable[[Path], dict[str, Trade]],
    auc_min: float,
    tmp_path: Path,
) -> None:
    customers = tmp_path / "customers.ndjson"
    totals = replay(DATA / file, mapping, customers)
    expected = oracle(DATA / file)
    events = sum(t.orders + t.returns for t in expected.values())
    assert totals["events_in"] == totals["events_applied"] == events
    assert totals["lost"] == totals["dead_letters"] == 0
    assert totals["customers"] == len(expected)
    same_customers(customers, expected)
    churn = totals["churn"]
    assert isinstance(churn, dict)
    assert churn["labels"] > 1_000
    assert churn["auc"] > auc_min
