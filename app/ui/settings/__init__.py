"""The settings dialog: a rail of pages, changes that count at once.

Read dialog.py (the frame), rows.py (what pages are made of), pages.py (the pages and their
order). A new page is a function that returns a widget, and one line in `PAGES`.
"""
