"""How events come in: sources and their rights, one check for every door, dead letters."""
