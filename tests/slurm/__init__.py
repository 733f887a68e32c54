"""Tests that want a Slurm: `make test-slurm` runs them beside one of its own."""
