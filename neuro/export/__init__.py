"""A release as plain files."""
