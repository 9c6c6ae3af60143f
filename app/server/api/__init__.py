"""Server: api."""
