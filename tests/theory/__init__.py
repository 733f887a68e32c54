"""Statements of docs/certificates.md that no method rests on, for the tests that check them."""
