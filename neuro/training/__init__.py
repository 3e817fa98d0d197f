"""Recipe, trainer, augmentation, tuning, and building the package."""
