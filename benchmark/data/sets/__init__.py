"""Data sets that have a name, found by being here; see `benchmark.data.named`."""
