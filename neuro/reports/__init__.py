"""HTML pages and charts that people read."""
