"""A rule file as text: its tree with places, its values, its mistakes."""
