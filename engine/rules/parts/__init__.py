"""The parts of a rule file: steps, actions, tables, and what files share."""
