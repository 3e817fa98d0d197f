"""The local stack: servers, workers and their processes."""
