"""Who may come into a hosted room, and with what rights: rules, lobby, standing.

Only servers with Lanai's door have gates; a plain server does as its tokens say. Sans-IO but for
`gates`, which holds the clock, the timers and the file that outlives a crash. Read in this order:
rules, lobby, standing, staff, gate, telling, roll, gates.
"""
