"""Statements of docs/theory/ that no method rests on, for the tests that check them."""
