"""Starts and watches the server process; LAN address and invitations."""
