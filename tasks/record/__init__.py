"""What a run leaves: MLflow, Prefect artifacts, events."""
