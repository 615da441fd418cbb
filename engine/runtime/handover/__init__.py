"""Triggers on their way to webhooks: queues, attempts, what the answers mean."""
