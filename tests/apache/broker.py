"""A real Apache Kafka broker for the tests: started, frozen, killed, and restarted with its disk.

How, and why so, is KAFKA.md 1. The jars come by Maven once into a cache folder; start-up is made
quick by a class-data archive beside them, written when the first broker that ever ran is stopped.
"""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from struct import Struct

from engine.adapters.kafka.topics import wait_ready
from engine.errors import LogError
from engine.runtime.local.embedded import free_port, spawn

HERE = Path(__file__).parent
READY_S = 60.0
MAVEN_S = 600.0
STOP_S = 15.0
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
JVM = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xss512k")
BATCH = Struct(">qi")  # of a record batch: first offset, size of what follows
LAST_DELTA, LAST_DELTA_AT = Struct(">i"), 23
SETTINGS = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    # A killed broker's old registration must expire before it may come back.
    "broker.session.timeout.ms": "1500",
    "broker.heartbeat.interval.ms": "500",
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "num.network.threads": "2",
    "num.io.threads": "2",
    "log.cleaner.dedupe.buffer.size": "2097152",
    "log.retention.check.interval.ms": "500",
    "log.initial.task.delay.ms": "500",
    "file.delete.delay.ms": "100",
}


class ApacheKafka:
    """One broker in KRaft mode on loopback ports of its own; its disk stays until `stop`.

    `node`, `cluster`: its id, and that of the cluster; a broker alone is one of its own.
    """

    def __init__(
        self, settings: dict[str, str] | None = None, *, node: int = 1, cluster: str = ""
    ) -> None:
        self.settings = settings or {}
        self._folder = Path(tempfile.mkdtemp(prefix="touchpoint-kafka-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen = False
        # Hex, because an id that begins with `-` would be taken for an option.
        self._cluster = cluster or secrets.token_hex(11)
        self.bootstrap = f"127.0.0.1:{free_port()}"
        controller = f"127.0.0.1:{free_port()}"
        self.voter = f"{node}@{controller}"
        self._listeners = {
            "node.id": str(node),
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "controller.quorum.voters": self.voter,
            "log.dirs": str(self._folder / "data"),
        }

    def start(self) -> str:
        """Format the disk if it is new, start, and return the address once metadata is answered."""
        self.launch()
        self.wait_ready()
        return self.bootstrap

    def launch(self) -> None:
        """Start, without waiting: one of several gets ready only when most of them are there."""
        self._check_port()
        properties = self._folder / "server.properties"
        if not properties.exists():
            settings = {**SETTINGS, **self._listeners, **self.settings}
            properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
            tool = "kafka.tools.StorageTool"
            self._run_tool(tool, "format", "-t", self._cluster, "-c", properties)
        with open(self._folder / "broker.log", "ab") as output:
            self._process = spawn(
                [*_java(), *_archive(), "-cp", _classpath(), "kafka.Kafka", str(properties)],
                folder=self._folder,
                output=output,
                environment=dict(os.environ),
            )

    def wait_ready(self) -> None:
        """Wait until it answers a metadata request."""
        try:
            wait_ready(self.bootstrap, timeout_s=READY_S)
        except LogError as error:
            self.kill()
            raise RuntimeError(f"the broker did not start:\n{self.last_words()}") from error

    def freeze(self) -> None:
        """Stop its clock: connections stay open, nothing is answered."""
        self._signal(signal.SIGSTOP)
        self._frozen = True

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)
        self._frozen = False

    def kill(self) -> None:
        """kill -9; the disk stays."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._process = None
        self._frozen = False

    def restart(self) -> None:
        """Start again on the same ports, with the same disk."""
        self.kill()
        self.start()

    def shut_down(self) -> None:
        """End it in order: it gives its partitions' lead away first. The disk stays."""
        if self._frozen:
            self.thaw()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def stop(self) -> None:
        """End it in order, and remove its disk."""
        self.shut_down()
        shutil.rmtree(self._folder, ignore_errors=True)

    def cut(self, topic: str, partition: int, offset: int) -> int:
        """Take the tail of a partition away, as a power loss does; return where its log ends now.

        Only while the broker is dead (`kill`). Cut is between two batches, at `offset` or before.
        """
        path = self._folder / "data" / f"{topic}-{partition}" / f"{0:020d}.log"
        held = path.read_bytes()
        at, after = 0, 0
        while at < len(held):
            first, size = BATCH.unpack_from(held, at)
            last = first + LAST_DELTA.unpack_from(held, at + LAST_DELTA_AT)[0]
            if last >= offset:
                break
            at, after = at + BATCH.size + size, last + 1
        path.write_bytes(held[:at])
        return after

    def last_words(self) -> str:
        """Return the end of the broker's log."""
        output = self._folder / "broker.log"
        lines = output.read_text(errors="replace").splitlines() if output.exists() else []
        return "\n".join(lines[-20:])

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _check_port(self) -> None:
        """A leftover server on our port would falsify the test."""
        try:
            wait_ready(self.bootstrap, timeout_s=0.1)
        except LogError:
            return
        raise RuntimeError(f"something answers on {self.bootstrap} already")

    def _run_tool(self, main: str, *arguments: object) -> None:
        done = subprocess.run(
            [*_java(), "-cp", _classpath(), main, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{main}: {done.stdout}{done.stderr}")


def missing_tools() -> list[str]:
    """Return the programs that a broker needs and that are not on PATH."""
    return [name for name in ("java", "mvn") if shutil.which(name) is None]


def _java() -> list[str]:
    program = shutil.which("java")
    assert program is not None
    return [program, *JVM]


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "touchpoint"


def _jars() -> Path:
    """Return the folder of the jars; fetched once, whole or not at all."""
    version = (HERE / "pom.xml").read_text().split("<version>")[2].split("<")[0]
    folder = _cache() / f"kafka-{version}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix="kafka-", dir=folder.parent))
    done = subprocess.run(
        ["mvn", "-q", "-B", "-f", HERE / "pom.xml", COPY, f"-DoutputDirectory={fresh}"],
        capture_output=True,
        text=True,
        timeout=MAVEN_S,
        check=False,
    )
    if done.returncode != 0:
        shutil.rmtree(fresh)
        raise RuntimeError(f"Maven could not fetch the broker:\n{done.stdout}{done.stderr}")
    try:
        fresh.rename(folder)
    except OSError:  # another run was quicker
        shutil.rmtree(fresh)
    return folder


def _classpath() -> str:
    jars = sorted(_jars().glob("*.jar"))
    return os.pathsep.join(map(str, jars))


def _archive() -> list[str]:
    archive = _jars() / "classes.jsa"
    if archive.exists():
        return [f"-XX:SharedArchiveFile={archive}"]
    return [f"-XX:ArchiveClassesAtExit={archive}"]
