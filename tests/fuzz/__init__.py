"""Readers of strangers' bytes, fed with broken ones: here briefly, by `scripts/fuzz` at length."""
