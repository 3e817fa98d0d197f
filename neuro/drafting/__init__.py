"""A problem file drafted from a folder."""
