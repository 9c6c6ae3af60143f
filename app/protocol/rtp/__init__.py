"""RTP as bytes (hot path): `header` and `extensions` first, then `vp8`, `h264`, `wrap`.

Readers come in two forms: one that returns an object, for tests and receivers, and one that
returns positions in the caller's buffer, for the server. `encoded` holds what crosses between
codecs and RTP. Whatever a peer sends gives a value or ProtocolError.
"""
