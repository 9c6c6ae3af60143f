"""The pages around a meeting: start, pre-join, connecting, end, and the invite dialog.

They ask and tell; connecting is `app/ui/application.py`'s. Belongs to the Qt thread. Read
destination, words (every text for what can go wrong), start_page, prejoin_page, end_page.
"""
