"""Finished runs, opened read-only."""
