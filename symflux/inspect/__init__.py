"""Reports on compiled functions for the command line, and the pages generated from tables."""
