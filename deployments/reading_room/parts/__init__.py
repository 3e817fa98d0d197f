"""What several pages show: a picture, a gallery, an answer, tables."""
