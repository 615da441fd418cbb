"""Child processes of a stack or a supervisor: started with our environment, gone when we are."""

import ctypes
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

STOP_S = 10.0  # longer than what `engine run` gives itself
PR_SET_PDEATHSIG = 1
log = logging.getLogger(__name__)
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Process:
    """One `python -m ...` child.

    `folder`: what it prints goes to `<name>.log` there; None: to where ours goes.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str],
        folder: Path | None = None,
    ) -> None:
        self.name = name
        self.log_path = folder / f"{name}.log" if folder else None
        self._command = [sys.executable, "-m", *arguments]
        self._env = {**os.environ, **env}
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the child; a second call starts it again."""
        output = self.log_path.open("ab") if self.log_path else None
        try:
            self._child = subprocess.Popen(
                self._command,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                start_new_session=True,  # Ctrl-C is ours to pass on, in order
                preexec_fn=_die_with_parent,
            )
        finally:
            if output:
                output.close()

    @property
    def pid(self) -> int:
        """The child's process id; it must have been started."""
        assert self._child is not None
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """The child's exit code; None while it runs or before it was started."""
        return self._child.poll() if self._child else None

    def last_words(self) -> str:
        """Return the end of what the child printed."""
        if self.log_path is None or not self.log_path.exists():
            return ""
        return self.log_path.read_text(errors="replace")[-2_000:]

    def ask_to_stop(self) -> None:
        """Send SIGTERM; `wait` sees the end."""
        if self._child and self._child.poll() is None:
            self._child.terminate()

    def kill(self) -> None:
        """End the child at once, as a crash would."""
        if self._child and self._child.poll() is None:
            self._child.kill()
            self._child.wait()

    def wait(self) -> None:
        """Wait for the end; one that does not stop in time is killed, and that is logged."""
        if self._child is None:
            return
        try:
            self._child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            log.warning("%s did not stop within %.0f s: killed", self.name, STOP_S)
            self.kill()
