"""Media: decode."""
