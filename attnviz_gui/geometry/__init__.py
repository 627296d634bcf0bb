"""Normalise, correlate, fit and project queries and keys: pure functions on arrays."""
