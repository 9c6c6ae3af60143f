"""The engine's counters in the shape of the official SDK's statistics."""

from __future__ import annotations

import time

from app.engine import rtc_stats as stats
from app.rtc.stats import ReceiverStats, SenderStats, TransportStats


def _data(kind: str, ssrc: int) -> stats.RtcStatsData:
    return stats.RtcStatsData(id=f"{kind}{ssrc}", timestamp=int(time.time() * 1000))


def sender_report(sent: SenderStats, kind: str, mime_type: str) -> stats.RtcStats:
    """Report on one stream that is sent."""
    report = stats.RtcStats.OutboundRtp(rtc=_data("O", sent.ssrc))  # type: ignore[attr-defined]
    report.stream = stats.RtpStreamStats(ssrc=sent.ssrc, kind=kind, codec_id=mime_type)
    report.sent = stats.SentRtpStreamStats(packets_sent=sent.packets, bytes_sent=sent.payload_bytes)
    report.outbound = stats.OutboundRtpStreamStats(
        rid=sent.rid,
        frames_sent=sent.frames,
        frames_encoded=sent.frames,
        retransmitted_packets_sent=sent.resent_packets,
        nack_count=sent.nacked_packets,
        pli_count=sent.keyframe_requests,
        active=True,
    )
    return stats.RtcStats(outbound_rtp=report)


def receiver_report(received: ReceiverStats, kind: str) -> stats.RtcStats:
    """Report on one stream that is received."""
    report = stats.RtcStats.InboundRtp(rtc=_data("I", received.ssrc))  # type: ignore[attr-defined]
    report.stream = stats.RtpStreamStats(
        ssrc=received.ssrc, kind=kind, codec_id=f"{kind}/{received.codec}"
    )
    report.received = stats.ReceivedRtpStreamStats(
        packets_received=received.packets,
        packets_lost=received.lost_packets,
        jitter=received.jitter_s,
    )
    report.inbound = stats.InboundRtpStreamStats(
        track_identifier=received.track_sid,
        bytes_received=received.payload_bytes,
        frames_received=received.frames,
        key_frames_decoded=received.keyframes,
        frames_dropped=received.dropped_frames,
        nack_count=received.nacks_sent,
        pli_count=received.keyframe_requests,
        retransmitted_packets_received=received.recovered_packets,
    )
    return stats.RtcStats(inbound_rtp=report)


def transport_report(transport: TransportStats) -> stats.RtcStats:
    """Report on one transport."""
    report = stats.RtcStats.Transport(rtc=_data("T", 0))  # type: ignore[attr-defined]
    report.transport = stats.TransportStats(
        packets_sent=transport.packets_sent,
        packets_received=transport.packets_received,
        bytes_sent=transport.bytes_sent,
        bytes_received=transport.bytes_received,
    )
    return stats.RtcStats(transport=report)
