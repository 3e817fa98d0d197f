"""Models that were made worse on purpose: how, and what they truly lose."""
