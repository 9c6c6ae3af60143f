"""For developers: call methods, watch data tracks and attributes, copy it all as Python.

Read panel.py (the window), then calls.py, tracks.py, attributes.py (its tabs), snippets.py (the
scripts) and payloads.py (bytes as a person reads them). Belongs to the Qt thread.
"""
