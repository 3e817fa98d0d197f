"""The whole loop once, on synthetic or real images."""
