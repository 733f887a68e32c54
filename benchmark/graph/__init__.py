"""Graphs: what is asked of them, fixed propagation, and the worlds before and after a request."""
