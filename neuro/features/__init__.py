"""Feature sets: encoders, descriptors, PCA and similar cases."""
