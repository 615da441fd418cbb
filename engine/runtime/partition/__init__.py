"""A partition of the log in one worker's hands: taken over, folded, committed, given back."""
