"""Programs for the maintainers of the repository."""
