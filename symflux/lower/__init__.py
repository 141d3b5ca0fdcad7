"""See docs/folders.md."""
