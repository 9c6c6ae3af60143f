"""The LiveKit wire as data: sans-IO, no clock, no sockets.

Reads in this order: errors, ids, token, sdp, signal_server and signal_client, reconnect,
data_packet, streams, rpc, transfers, data_track, rtp.
"""
