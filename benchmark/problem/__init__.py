"""Learning problems: rows, models, objective and training."""
