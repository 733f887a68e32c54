"""Kinds of models, found by being here: each builds the module that `Model` calls."""
