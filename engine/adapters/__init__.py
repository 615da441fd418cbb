"""The world for real, and in memory: one adapter a file, each behind a port."""
