"""Where units of work run: here, in processes, or on a Slurm cluster."""
