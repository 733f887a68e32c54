"""The contract between methods and the benchmark."""
