"""Lower bounds on epsilon, measured from what was actually released."""
