"""When a rule comes true: steps in event time, absence, dates of the profile."""
