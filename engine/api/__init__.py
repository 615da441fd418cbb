"""Doors for people and machines: the collector, the console, health."""
