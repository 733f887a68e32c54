"""From a problem and weights to a claim."""
