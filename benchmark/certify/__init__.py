"""Theorems and accountants behind the certificates."""
