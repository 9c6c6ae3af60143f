"""Media: encode."""
