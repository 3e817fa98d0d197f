"""Near copies of images: under flips, rotations and crops."""
