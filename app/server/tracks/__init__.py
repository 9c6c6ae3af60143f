"""Server: tracks."""
