"""History folded again: back-tests, replays, and why a rule did or did not fire."""
