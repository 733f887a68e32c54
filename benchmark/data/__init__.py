"""Data sets: loading, content hashes, canonical order, splits, fixed features."""
