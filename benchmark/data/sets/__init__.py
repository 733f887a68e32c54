"""Data sets that have a name: one a file, found by being there."""
