"""Signalling messages as they lie on the wire.

Most messages go to everybody in a room, one receiver right after the other: such a message is
written once, for all of them.
"""

from __future__ import annotations

from livekit.protocol import rtc

from app.protocol.signal_server import encode_response


class FrameCache:
    """Remembers the newest message's frames; nobody may change a message that was sent."""

    def __init__(self) -> None:
        self._newest: rtc.SignalResponse | None = None
        self._frames: dict[bool, bytes | str] = {}

    def encode(self, response: rtc.SignalResponse, *, as_json: bool) -> bytes | str:
        """Write one frame in the form that the client speaks."""
        if response is not self._newest:
            self._newest, self._frames = response, {}
        frame = self._frames.get(as_json)
        if frame is None:
            frame = self._frames[as_json] = encode_response(response, as_json=as_json)
        return frame
