"""From decoded media to eyes and ears: tile slots, the mixer, the speaker.

`video_slot.py` scales pictures for one tile, `mixer.py` adds voices up, `speaker.py` feeds the
device (or nothing, at the same pace), `clock.py` is that pace.
"""
