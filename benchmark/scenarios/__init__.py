"""Scenarios of rows, found by being here; see `benchmark.data.scenarios`."""
