"""What happened: events, their contracts, their identifiers, their bytes."""
