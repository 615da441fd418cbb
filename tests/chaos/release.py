"""Another revision of the engine as it was: its checkout, its packages, its processes."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.runtime.local.processes import Process

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Release:
    """`folder`: the checkout, with `.venv` in it."""

    revision: str
    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / ".venv" / "bin" / "python"

    def process(self, name: str, role: str, *, env: Mapping[str, str], folder: Path) -> Process:
        """Return a process of it, in a role; contracts and rules are its own."""
        own = {"TOPICS_DIR": str(self.folder / "topics"), "RULES_DIR": str(self.folder / "rules")}
        found = _Process(name, ["engine.cli.main", "run", role], env={**env, **own}, folder=folder)
        found.use(self.python)
        return found


class _Process(Process):
    """A child of another interpreter, which does not look into our folder."""

    def use(self, python: Path) -> None:
        """Run by this interpreter, which finds the engine that is installed there."""
        self._command[0] = str(python)
        self._env = {k: v for k, v in self._env.items() if k != "PYTHONPATH"}
        self._env["PYTHONSAFEPATH"] = "1"


def checked_out(name: str) -> Release:
    """Check a revision out, once, with an environment of its own; a commit, a tag or a branch.

    Raises
    ------
    RuntimeError
        If git does not know it, or its packages cannot be installed.
    """
    revision = _run(["git", "-C", ROOT, "rev-parse", "--verify", f"{name}^{{commit}}"]).strip()
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(base) / "touchpoint" / "releases" / revision[:12]
    ready = folder / ".venv" / "ready-release"
    if not ready.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        packed = folder / "tree.tar"
        _run(["git", "-C", ROOT, "archive", "-o", packed, revision])
        _run(["tar", "-xf", packed, "-C", folder])
        packed.unlink()
        _run([sys.executable, "-m", "venv", folder / ".venv"])
        pip = [folder / ".venv" / "bin" / "python", "-m", "pip", "install", "--quiet"]
        _run([*pip, "--disable-pip-version-check", "-e", f"{folder}[embedded]"])
        ready.touch()
    return Release(revision[:12], folder)


def _run(command: Sequence[object]) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip()[-400:]}")
    return done.stdout
