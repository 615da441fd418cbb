"""What marketing asked: rule files, checked, compiled, indexed."""
