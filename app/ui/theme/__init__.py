"""Interface: theme."""
