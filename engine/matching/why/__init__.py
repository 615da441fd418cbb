"""Why and why not: what one record came to for one rule, what it waits for, and both in words."""
