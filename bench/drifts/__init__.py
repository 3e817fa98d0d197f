"""What ``python -m bench drift`` is made of."""
