"""What happens to microphone audio before it is sent: echo, noise, level.

`processor.py` holds the interface and both implementations, `levels.py` the measures.
"""
