"""Losses, found by being here; see `benchmark.problem.objective`."""
