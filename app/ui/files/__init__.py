"""Interface: files."""
