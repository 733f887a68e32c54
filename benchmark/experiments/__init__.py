"""Experiments as data: one TOML file a study, found by being here."""
