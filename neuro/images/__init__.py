"""From untrusted bytes to clean pixels to the input of a network."""
