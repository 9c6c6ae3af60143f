"""Interface: capture."""
