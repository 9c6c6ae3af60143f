"""People: the one copy of who is here on the Qt thread, and the list that shows it.

Read model.py (roster, order, words; no widgets), then panel.py. The stage reads the same roster.
"""
