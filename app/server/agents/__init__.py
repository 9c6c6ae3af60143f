"""Agents on the LAN: workers that wait at `/agent`, and how rooms get agents of them.

Read `worker.py` (one worker's state), `pool.py` (which worker gets a job), `room_agents.py` (which
jobs a room wants, and when they end), then `socket.py` (the wire). Lives on the server's loop.

Decisions: a job that finds no worker waits for one only if the dispatch names its agent; unnamed
agents join new rooms alone, as in the reference. A worker that loses its socket has a moment to
come back and claim its running jobs, because its agents may well be in their rooms still.
"""
