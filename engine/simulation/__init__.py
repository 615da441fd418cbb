"""People, stories and faults on a clock of their own: for the demo, rule tests and proofs."""
