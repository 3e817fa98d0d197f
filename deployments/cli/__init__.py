"""The `neuro` command: one file for each group of verbs."""
