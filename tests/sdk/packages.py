"""The SDKs of npm, installed once into a cache outside of the project."""

import os
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

from tests.servers import unavailable

NODE = Path(__file__).parent / "node"


def installed() -> Path:
    """Return a folder with the pinned SDKs and our scripts; skips by name without Node."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            unavailable(f"the SDKs of npm need {tool} on PATH")
    version = sha256((NODE / "package.json").read_bytes()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = cache / "touchpoint" / f"sdk-{version}"
    folder.mkdir(parents=True, exist_ok=True)
    for path in NODE.iterdir():
        if path.is_file():
            shutil.copy(path, folder / path.name)
    if not (folder / "ready").exists():
        command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent"]
        subprocess.run(command, cwd=folder, check=True, timeout=300)
        (folder / "ready").touch()
    return folder
