"""Every other method: one file each, found by being here."""
