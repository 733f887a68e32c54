"""Architectures, one idea a file: a specification builds the module that `Model` calls."""
