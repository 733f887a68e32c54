"""Metrics: pure functions by subject, each with a declared direction and bounds."""
