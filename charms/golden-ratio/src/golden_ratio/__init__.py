"""Digits of the golden ratio: what the charm of that name runs, and what it says about it."""
