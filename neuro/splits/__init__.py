"""Groups and splits: drawn by group, permanent once given."""
