"""Theorems and accountants: scalars in, scalars out."""
