"""From encoded frames to pictures and sound.

`video.py` owns the decoder threads; `audio.py` the jitter buffer, with `delay.py` (how late to
play), `stretch.py` (how to get there unheard) and `opus.py` (libopus, or what replaces it).
"""
