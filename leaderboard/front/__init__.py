"""The front page: one file that finds, ranks, compares and exports, without a network."""
