"""Encoded media as it crosses between codecs and RTP: what `media` makes and `rtc` carries."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EncodedVideoFrame:
    """One encoded picture.

    `codec` is the SDP name ("VP8", "H264"); `data` the whole frame (H264: Annex B);
    `ts_rtp` the 90 kHz RTP timestamp, 32 bits.
    """

    codec: str
    data: bytes
    ts_rtp: int
    keyframe: bool
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class AudioPacket:
    """One Opus payload as received; `ts_rtp` runs at 48 kHz, `arrival_s` is a monotonic clock."""

    seq: int
    ts_rtp: int
    payload: bytes
    arrival_s: float
