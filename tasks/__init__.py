"""The coarse steps of every flow: the library called, its results recorded."""
