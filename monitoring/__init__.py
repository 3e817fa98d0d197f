"""Descriptors, windows, Evidently reports and the drift verdict."""
