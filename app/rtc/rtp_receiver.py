"""From RTP packets of one subscribed track to Opus payloads or whole video frames."""

from __future__ import annotations

from collections.abc import Callable

from app.protocol.rtp.encoded import AudioPacket, EncodedVideoFrame
from app.rtc.stats import ReceiverStats


class AudioRtpReceiver:
    """Hands over Opus payloads as they arrive; ordering is the jitter buffer's work."""

    sink: Callable[[AudioPacket], None] | None
    stats: ReceiverStats


class VideoRtpReceiver:
    """Reorders, repairs and reassembles; hands over whole frames in order."""

    sink: Callable[[EncodedVideoFrame], None] | None
    stats: ReceiverStats

    def request_keyframe(self) -> None:
        """Ask the sender for a keyframe (PLI), throttled."""
        raise NotImplementedError("video receiver")
