"""The connections that settings ask for: to their version of the log, and its key space."""

from engine.adapters.kafka.producer import KafkaPublisher
from engine.adapters.kafka.reader import KafkaReader
from engine.adapters.kafka.topics import partition_count
from engine.adapters.kafka.transactions import KafkaTransactions
from engine.adapters.redis.store import RedisStore
from engine.config import Settings
from engine.events import topics


def publisher_of(settings: Settings) -> KafkaPublisher:
    """Return a producer."""
    return KafkaPublisher(settings.kafka_bootstrap, names=topics.named(settings.log_version))


def transactions_of(settings: Settings) -> KafkaTransactions | None:
    """Return what triggers go out by, None if by an ordinary producer."""
    if not settings.trigger_transactions:
        return None
    names = topics.named(settings.log_version)
    return KafkaTransactions(settings.kafka_bootstrap, settings.log_name, names=names)


def reader_of(settings: Settings) -> KafkaReader:
    """Return a reader of any place of the log."""
    return KafkaReader(settings.kafka_bootstrap, names=topics.named(settings.log_version))


def store_of(settings: Settings) -> RedisStore:
    """Return the state of the partitions."""
    return RedisStore(settings.redis_url, settings.space)


def topic_of(settings: Settings, name: str) -> str:
    """Return what the broker calls one of our topics."""
    return topics.named(settings.log_version).get(name, name)


def count_of(settings: Settings, name: str) -> int:
    """Return how many partitions one of our topics has; blocks; LogError if there is none."""
    return partition_count(settings.kafka_bootstrap, topic_of(settings, name))
