"""Three Apache Kafka brokers: every record three times, two of them before it is acknowledged."""

import secrets
import time

from confluent_kafka.admin import AdminClient

from tests.apache.broker import ApacheKafka

BROKERS = 3
IN_STEP_S = 60.0
SETTINGS = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "unclean.leader.election.enable": "false",
}


class ApacheCluster:
    """Brokers that start together, and are restarted one after the other."""

    def __init__(self) -> None:
        cluster = secrets.token_hex(11)
        self.brokers = [
            ApacheKafka(dict(SETTINGS), node=number + 1, cluster=cluster)
            for number in range(BROKERS)
        ]
        voters = ",".join(broker.voter for broker in self.brokers)
        for broker in self.brokers:
            broker.settings["controller.quorum.voters"] = voters
        self.bootstrap = ",".join(broker.bootstrap for broker in self.brokers)

    def start(self) -> str:
        """Start all, and wait for all."""
        for broker in self.brokers:
            broker.launch()
        for broker in self.brokers:
            broker.wait_ready()
        return self.bootstrap

    def restart(self, number: int) -> None:
        """Stop one in order and start it again; return when it has all that it has missed."""
        self.brokers[number].shut_down()
        self.brokers[number].start()
        self.wait_in_step()

    def wait_in_step(self) -> None:
        """Wait until every partition has all of its replicas."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        deadline = time.monotonic() + IN_STEP_S
        while True:
            found = admin.list_topics(timeout=10.0).topics.values()
            parts = [part for topic in found for part in topic.partitions.values()]
            if all(len(part.isrs) == len(part.replicas) and part.leader >= 0 for part in parts):
                return
            assert time.monotonic() < deadline, "the brokers do not get into step"
            time.sleep(0.1)

    def kill(self) -> None:
        """kill -9 of all."""
        for broker in self.brokers:
            broker.kill()

    def stop(self) -> None:
        """End all, and remove their disks."""
        for broker in self.brokers:
            broker.stop()
