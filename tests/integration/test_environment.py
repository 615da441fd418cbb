"""The first two commands on a machine whose Python is not fit for them."""

import subprocess
import sys
from pathlib import Path
from shlex import quote

import pytest

ROOT = Path(__file__).parents[2]
NO_PIP = """#!/bin/sh
[ "$1" = -c ] && exit 0
mkdir -p "$3/bin" && touch "$3/bin/python"
echo "ensurepip is not available" >&2
exit 1
"""
TOO_OLD = f"""#!/bin/sh
exec {quote(sys.executable)} -c "import sys; sys.version_info = (3, 10, 13, 'final', 0)
$2"
"""


@pytest.mark.parametrize(
    ("python", "said"),
    [
        pytest.param(NO_PIP, "ensurepip is not available", id="Debian without python3-venv"),
        pytest.param(TOO_OLD, "Python 3.10; want 3.11 to 3.13", id="too old"),
    ],
)
def test_what_is_no_environment_is_not_taken_for_one_the_next_time(
    python: str, said: str, tmp_path: Path
) -> None:
    program, venv = tmp_path / "python", tmp_path / "venv"
    program.write_text(python, encoding="utf-8")
    program.chmod(0o755)
    command = ["make", "demo", f"PYTHON={program}", f"VENV={venv}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert not (venv / "bin" / "python").exists()
