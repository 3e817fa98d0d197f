"""Folders and S3 buckets: files, objects, versions, and what their failures mean."""
