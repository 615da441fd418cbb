"""Channels: one file each, which renders a trigger into a request and reads the reply."""
