"""Many models of one problem: trained together, kept on disk, shared by all metrics."""
