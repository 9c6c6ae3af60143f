"""Lanai: meetings on your own network."""
