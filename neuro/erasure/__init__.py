"""Erasing images everywhere, and the proof."""
