"""Definitions of unlearning: one file each, found by being here."""
