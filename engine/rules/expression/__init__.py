"""Conditions and values of rule files: CEL syntax, typed, compiled to one plain function."""
