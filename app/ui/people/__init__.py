"""Interface: people."""
