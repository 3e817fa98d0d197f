"""Gates, decisions, and what automatic retraining may do."""
