"""What to do, and whether we may: limits, quiet hours, consent, holdout, goals."""
