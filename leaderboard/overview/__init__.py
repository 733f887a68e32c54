"""The overview: one list of rows of every problem, and what each method amounts to in a track."""
