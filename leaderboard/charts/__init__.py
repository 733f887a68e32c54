"""Plots as SVG that is the same bytes for the same records."""
