"""A year of a hospital: what comes each week, and a picture of what was made of it."""
