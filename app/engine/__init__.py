"""The client engine: joins a room and drives its media and data."""
