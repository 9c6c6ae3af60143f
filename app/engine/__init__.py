"""The client engine: joins a room and drives its media and data, on one asyncio loop.

Scripts enter by `rtc.py`, the window by `client.py`. Read session (the connection), room,
participant, publication, track, then audio_source, video_source and uplink (out), audio_stream
and video_stream (in), streams and rpc; meeting and desk put the window's meeting on top of them.
"""
