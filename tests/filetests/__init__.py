"""IR text in, IR text out."""
