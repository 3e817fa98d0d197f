"""One Prefect flow per file."""
