"""Metrics of kept predictions, found by being here; see `benchmark.metrics.metric`."""
