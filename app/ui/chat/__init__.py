"""The chat: how lines become rows, and how rows are painted and written.

Read model.py (grouping, days, links, unread; no widgets), list.py (Qt model and delegate), panel.py.
Sends nothing itself: the panel says what a person wants sent. Belongs to the Qt thread.
"""
