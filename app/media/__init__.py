"""Threads and frames: codecs and devices.

Decides how pictures and sound are captured, encoded, decoded, mixed and played. Nothing here
knows asyncio: callbacks run on media threads and every hand-over is bounded and counted.
Read `frames.py`, then `capture/`, `encode/`, `decode/`, `play/`, `process/`, `devices.py`.
"""
