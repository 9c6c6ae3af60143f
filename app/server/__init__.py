"""The SFU process: signalling, rooms and forwarding."""
