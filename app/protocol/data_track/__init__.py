"""Data tracks: frames of bytes, split into packets of a lossy channel and joined again.

Read `packet.py` (what is on the wire), `packetizer.py` (frame to packets), `depacketizer.py`
(packets to frames). Sans-IO. A frame that misses a packet is lost as a whole; nothing is resent.
"""
