"""Classifiers for medical images that are honest, current and answerable. Research use only."""
