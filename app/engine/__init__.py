"""The client engine: joins a room and drives its media and data, on one asyncio loop.

Scripts enter by `rtc.py`, the window by `client.py`. Read session (the connection), room,
participant, publication, track, then audio_source, video_source and uplink (out), audio_stream
and video_stream (in), stream_desk, rpc and data_tracks; agents and preconnect for the other end of
an agent. meeting and desk put the window's meeting on top of them: chat_desk, room_transfers,
moderation, caption_desk. Coming back after a break is decided in session and connection.
"""
