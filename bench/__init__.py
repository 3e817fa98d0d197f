"""Benchmarks: ``python -m bench NAME`` prints one table against a peer."""
