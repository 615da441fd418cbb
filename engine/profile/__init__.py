"""What we know of a customer: facts, windows, segments, state of the rules."""
