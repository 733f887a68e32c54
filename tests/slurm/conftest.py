"""Without `$LETHE_SLURM` nothing here is collected."""

import os

collect_ignore_glob = [] if os.environ.get("LETHE_SLURM") else ["test_*.py"]
