"""Are they leaving? Closed-form MBG/NBD and an online linear model, scored in the fold."""
