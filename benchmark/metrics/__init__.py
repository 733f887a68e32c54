"""Metrics: pure functions, one idea a file, each with a declared direction and bounds."""
