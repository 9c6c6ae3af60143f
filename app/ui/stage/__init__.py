"""Interface: stage."""
