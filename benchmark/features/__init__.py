"""Features, found by being here; see `benchmark.data.features`."""
