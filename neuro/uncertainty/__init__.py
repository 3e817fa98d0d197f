"""Calibration, conformal sets and out-of-scope scores."""
