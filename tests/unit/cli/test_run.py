"""A process of an installation starts with what its role needs, and no more."""

import subprocess
import sys


def test_a_process_that_does_not_train_starts_without_scipy() -> None:
    code = "import sys, engine.cli.run; print('river' in sys.modules, 'scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
