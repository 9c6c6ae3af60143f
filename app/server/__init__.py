"""The SFU process: signalling, rooms and forwarding.

Owned by one loop. Read `service.py` (the whole server as one object), then `api` (what comes in
over HTTP), `room` (who is where and gets what), `tracks` (media in and out).
"""
