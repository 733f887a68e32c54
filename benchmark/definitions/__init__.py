"""Definitions of unlearning, found by being here; see `benchmark.contract.definition`."""
