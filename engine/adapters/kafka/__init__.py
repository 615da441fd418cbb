"""Kafka: consumer groups, the producer, single reads, topics, transactions."""
