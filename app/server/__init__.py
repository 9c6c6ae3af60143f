"""The SFU process: signalling, rooms and forwarding.

Owned by one loop. Read `service.py` (the whole server as one object), then `api` (what comes in
over HTTP), `room` (who is where and gets what), `tracks` (media in and out), `gate` (who may come
into a hosted room), `agents` (workers and their jobs). `config` and `config_file` say how it is set
up, `tally` and `metrics` what it counts.
"""
