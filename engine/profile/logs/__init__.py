"""Exact logs of events, and the windows over them."""
