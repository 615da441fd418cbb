"""The path of one event: load, think, commit; everything here is a pure function of the log."""
