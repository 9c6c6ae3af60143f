"""Server: room."""
