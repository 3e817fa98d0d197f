"""A pinned release as frames, metadata and contents."""
