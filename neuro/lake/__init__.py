"""The lake: Lance tables, branches, releases and the journal."""
