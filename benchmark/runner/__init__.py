"""Running experiments cell by cell."""
