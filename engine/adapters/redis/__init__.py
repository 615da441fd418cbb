"""Redis: the partitions' store, the delivery ledger, the inbox's offsets, and the way to a node."""
