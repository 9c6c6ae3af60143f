"""What Qt knows about the machine, behind the engine's words: which devices are plugged in.

Read device_watch. QtMultimedia is imported only after the first window is painted.
"""
