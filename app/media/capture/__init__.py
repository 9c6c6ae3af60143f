"""Where pictures and sound come from: camera, microphone, and generated ones.

`camera.py` and `microphone.py` open devices; `generated.py` paces synthetic sources whose
pictures carry the counter of `pattern.py`.
"""
