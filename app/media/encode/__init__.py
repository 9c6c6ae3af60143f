"""From pictures and sound to encoded frames.

`video.py` owns one thread per source and encodes every layer there, `rates.py` decides which
layers fit a bit rate, `audio.py` is Opus.
"""
