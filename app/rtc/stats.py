"""Counters of senders and receivers, as plain values for logs, tests and the stats page."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class SenderStats:
    """What one RTP stream has sent; `loss_ratio` and `round_trip_s` come from the peer."""

    rid: str = ""
    ssrc: int = 0
    packets: int = 0
    payload_bytes: int = 0
    frames: int = 0
    resent_packets: int = 0
    nacked_packets: int = 0
    keyframe_requests: int = 0
    dropped_frames: int = 0
    loss_ratio: float = 0.0
    lost_packets: int = 0
    round_trip_s: float = 0.0


@dataclass
class ReceiverStats:
    """What one track's receiver has seen."""

    kind: str = ""
    track_sid: str = ""
    ssrc: int = 0
    codec: str = ""
    packets: int = 0
    payload_bytes: int = 0
    frames: int = 0
    keyframes: int = 0
    lost_packets: int = 0
    recovered_packets: int = 0
    duplicate_packets: int = 0
    nacks_sent: int = 0
    keyframe_requests: int = 0
    dropped_frames: int = 0
    jitter_s: float = 0.0


@dataclass
class TransportStats:
    """One peer connection's transport."""

    name: str = ""
    state: str = "new"
    packets_sent: int = 0
    packets_received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    round_trip_s: float = 0.0


@dataclass
class SessionStats:
    """Everything at one moment."""

    transports: list[TransportStats] = field(default_factory=list)
    senders: list[SenderStats] = field(default_factory=list)
    receivers: list[ReceiverStats] = field(default_factory=list)
    rejoins: int = 0
