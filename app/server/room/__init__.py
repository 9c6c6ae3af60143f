"""Rooms: who is in, whose tracks go to whom, who hears what.

Read `room.py` (where participants meet), `participant.py` (one session), then what each of its
parts decides: `signal_channel` and `resume` (its messages, whatever socket carries them),
`negotiation`, `publisher`, `subscriber` with `slots`, `data_router`. `slots`,
`data_router`, `metadata`, `permissions`, `first_info`, `early_data` are sans-IO.
"""
