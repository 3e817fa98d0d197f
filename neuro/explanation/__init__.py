"""Why a model answers as it does: where it looked, and whether that can be believed."""
