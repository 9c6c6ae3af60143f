"""Media: capture."""
