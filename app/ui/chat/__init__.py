"""Interface: chat."""
