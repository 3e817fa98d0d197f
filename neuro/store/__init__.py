"""The lake: Lance tables, releases and the journal."""
