"""RTP headers, extensions, payload descriptors, wrapping arithmetic (hot path)."""
