"""Rule sets as artefacts: sealed, published by two people, read back by every process."""
