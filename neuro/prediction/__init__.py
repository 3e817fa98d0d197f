"""A package asked about frames."""
