"""From Opus payloads and encoded frames to RTP packets, with resends and sender reports."""

from __future__ import annotations

from collections.abc import Callable

from app.protocol.rtp.encoded import EncodedVideoFrame
from app.rtc.stats import SenderStats


class AudioRtpSender:
    """One Opus stream."""

    stats: SenderStats

    def send(
        self, payload: bytes, ts_rtp: int, *, level_dbov: int | None = None, marker: bool = False
    ) -> None:
        """Send one payload; `level_dbov` is 0 (loudest) to 127 (silence), RFC 6464."""
        raise NotImplementedError("audio sender")


class VideoRtpSender:
    """One video in one or more layers; layer 0 is the lowest."""

    stats: list[SenderStats]
    on_keyframe_request: Callable[[int], None] | None
    on_target_bitrate: Callable[[int], None] | None

    def send(self, layer: int, frame: EncodedVideoFrame) -> None:
        """Packetise and send one frame of a layer."""
        raise NotImplementedError("video sender")
