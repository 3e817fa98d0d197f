"""Where a feature set is used: each use measured with what there is now, and with an embedding."""
