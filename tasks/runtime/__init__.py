"""What a step is, the settings, and where shards run."""
