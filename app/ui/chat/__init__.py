"""The chat: how lines become rows, and how rows are painted and written.

Read model.py (grouping, days, unread; no widgets), row_layout.py (where everything of a message
lies, and its painting), list.py (Qt model, delegate and view), composer.py, then panel.py, which
says what a person wants sent and sends nothing itself; deeds.py does it. Belongs to the Qt thread.
"""
