"""The chat: how lines become rows, and how rows are painted and written.

Read model.py (grouping, days, links, unread; no widgets), list.py (Qt model and delegate), then
panel.py, which says what a person wants sent and sends nothing itself. Belongs to the Qt thread.
"""
