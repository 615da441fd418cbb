"""What staff may order about a person, one at a time and many at once."""
