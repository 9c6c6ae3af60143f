"""Interface: home."""
