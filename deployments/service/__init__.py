"""The prediction service: one process, every problem that has a champion."""
