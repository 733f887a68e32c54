"""Studies of the certificates themselves: do their bounds hold, and how slack are they."""
