"""The audit of data: leaks, near duplicates, confounds, label errors."""
