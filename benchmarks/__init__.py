"""Benchmarks: each measures, compares with its bars, and says which one is missed."""
