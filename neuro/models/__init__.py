"""Backbones, their weights and the model package."""
