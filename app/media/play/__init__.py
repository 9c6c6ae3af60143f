"""Media: play."""
