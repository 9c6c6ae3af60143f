"""Text and byte streams: cut into chunks and put together again."""
