"""Drawn images: phantoms and a simulated new scanner."""
