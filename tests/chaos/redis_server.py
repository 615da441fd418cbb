"""A real Redis with its append-only file, and a replica behind it: killed, frozen, failed over.

The address stays the same through it all, as that of a virtual IP or of a proxy would.
"""

import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from time import monotonic, sleep

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from engine.runtime.local.embedded import free_port, spawn

READY_S = 30.0
DURABLE = ("--appendonly", "yes", "--appendfsync", "everysec", "--save", "")


class RedisServer:
    """One server on a port of its own; its folder stays until `stop`."""

    def __init__(self, program: str, *, replica_of: int = 0) -> None:
        self.port = free_port()
        self._program = program
        self._folder = Path(tempfile.mkdtemp(prefix="touchpoint-redis-"))
        self._replica_of = replica_of
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start on the disk that is there, and wait until it answers."""
        role = ("--replicaof", f"127.0.0.1 {self._replica_of}") if self._replica_of else ()
        with open(self._folder / "log", "ab") as output:
            self._process = spawn(
                [
                    *(self._program, "--port", str(self.port), "--bind", "127.0.0.1"),
                    *("--dir", str(self._folder), "--maxmemory-policy", "noeviction"),
                    *("--repl-diskless-sync-delay", "0", *DURABLE, *role),
                ],
                folder=self._folder,
                output=output,
                environment={},
            )
        self._until(lambda client: client.info("persistence")["loading"] == 0)

    def until_in_step(self) -> None:
        """Wait until a replica has all that its master has."""
        self._until(lambda client: client.info("replication")["master_link_status"] == "up")

    def client(self) -> Redis:
        """Return a connection that says at once what goes wrong."""
        return Redis(port=self.port, socket_timeout=2.0, retry=Retry(NoBackoff(), 0))

    def signal(self, number: signal.Signals) -> None:
        """Freeze it, or let it go on."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """kill -9; the disk stays."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def take_place_of(self, dead: "RedisServer") -> None:
        """Become the master, at the address of one that is dead."""
        with self.client() as client:
            client.replicaof("NO", "ONE")
            client.config_set("port", dead.port)
        self.port, self._replica_of = dead.port, 0
        self._until(lambda client: bool(client.ping()))

    def stop(self) -> None:
        """End it, and remove its disk."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _until(self, holds: object) -> None:
        assert callable(holds)
        deadline = monotonic() + READY_S
        while True:
            try:
                with self.client() as client:
                    if holds(client):
                        return
            except RedisError as error:
                if monotonic() > deadline:
                    raise RuntimeError(f"Redis did not get ready: {error}") from error
            sleep(0.02)
            assert monotonic() < deadline, "Redis did not get ready"


class RedisPair:
    """A master at a fixed address and, from time to time, a replica that lags behind."""

    def __init__(self) -> None:
        program = shutil.which("redis-server")
        assert program is not None, "chaos needs redis-server on PATH"
        self._program = program
        self.master = RedisServer(program)

    @property
    def url(self) -> str:
        """The address of whoever is master."""
        return f"redis://127.0.0.1:{self.master.port}/0"

    def start(self) -> None:
        """Start the master."""
        self.master.start()

    def client(self) -> Redis:
        """Return a connection to the master."""
        return self.master.client()

    def kill_and_restart(self, *, away_s: float) -> None:
        """kill -9, and the same disk again: the AOF has all that was answered."""
        self.master.kill()
        sleep(away_s)
        self.master.start()

    def stall(self, *, for_s: float) -> None:
        """Freeze it: connections stay open, nothing is answered."""
        self.master.signal(signal.SIGSTOP)
        sleep(for_s)
        self.master.signal(signal.SIGCONT)

    def fail_over(self, *, behind_s: float) -> int:
        """Promote a replica that was cut off `behind_s` ago; return how many bytes are lost."""
        replica = RedisServer(self._program, replica_of=self.master.port)
        replica.start()
        replica.until_in_step()
        with replica.client() as client:
            client.replicaof("NO", "ONE")  # the network between the two is gone
            had = int(client.info("replication")["master_repl_offset"])
        sleep(behind_s)
        with self.master.client() as client:
            lost = int(client.info("replication")["master_repl_offset"]) - had
        old, self.master = self.master, replica
        old.kill()
        replica.take_place_of(old)
        old.stop()
        return lost

    def stop(self) -> None:
        """End all."""
        self.master.signal(signal.SIGCONT)
        self.master.stop()
