"""Rooms: who is in, whose tracks go to whom, who hears what.

Read `room.py` (where participants meet), then what each of its parts decides: `announcements`
(who is told what, `update_batch` when), `subscriptions` (whose tracks for whom), `data_router` and
`data_flow` (whose packets, and at what cost), `data_tracks`, `moving` with `forwarding` (other
rooms), `server_calls`, `moderation` (what the server API does to people). Then `participant.py`
(one session): `signal_channel` and `resume` (its messages, whatever socket carries them),
`negotiation`, `publisher`, `subscriber` with `slots`. `slots`, `data_router`, `metadata`,
`permissions`, `first_info`, `early_data`, `occupancy`, `update_batch`, `sync_state` are sans-IO.
"""
