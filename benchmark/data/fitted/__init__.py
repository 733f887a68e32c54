"""Features that are fitted on public rows, and on nothing else."""
