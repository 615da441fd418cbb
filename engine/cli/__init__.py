"""The command `engine`: one file a command, each with one SPEC."""
