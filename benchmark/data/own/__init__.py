"""A user's own data: tables in files, scikit-learn's bundled sets, arrays in memory."""
