"""Membership attacks: one file each, found by being here."""
