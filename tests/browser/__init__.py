"""Tests of the front page in a real browser."""
