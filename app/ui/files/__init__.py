"""Files: transfers as rows, and the overlay that takes dropped files.

Read model.py (sections, rates, words; no widgets), panel.py, drop_overlay.py. What happens to
a transfer is the engine's matter: rows only say what a person wants. Belongs to the Qt thread.
"""
