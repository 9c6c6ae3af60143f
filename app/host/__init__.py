"""Starts and watches the server process; LAN address and invitations.

Everything here runs on plain threads and is awaited from whichever loop the caller has: the
Qt thread's or a script's. Read in this order: hosted, process, keys, network, tokens.
"""
