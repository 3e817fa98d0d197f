"""Metrics with group intervals, baselines, the evaluation of a package."""
