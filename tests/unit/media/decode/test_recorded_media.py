"""What official SDKs really send is understood: recorded packets into our decoders."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest

from app.media.decode.audio import AudioReceiveStream
from app.media.decode.video import VideoDecoder
from app.protocol.rtp.encoded import AudioPacket, EncodedVideoFrame
from app.protocol.rtp.header import RtpPacket, parse_rtp
from app.protocol.rtp.vp8 import is_vp8_keyframe, parse_vp8
from tests.support.pictures import PictureLog
from tests.support.signals import level_db, tone_peak
from tests.support.vectors import read_vector


def packets(name: str, kind: str) -> list[RtpPacket]:
    return [
        parse_rtp(record.raw)
        for record in read_vector(name)
        if record.kind == "rtp" and record.type == kind
    ]


def vp8_frames(sent: list[RtpPacket]) -> list[EncodedVideoFrame]:
    """Join packets to frames; frames of which the recording lacks a packet end the list."""
    frames = []
    ordered = sorted(sent, key=lambda packet: packet.seq)
    expected = ordered[0].seq
    for ts_rtp, group in groupby(ordered, key=lambda packet: packet.ts_rtp):
        parts = [packet for packet in group if packet.payload]
        if not parts or parts[0].seq != expected or not parts[-1].marker:
            break
        expected = (parts[-1].seq + 1) % 0x10000
        descriptors = [parse_vp8(packet.payload) for packet in parts]
        data = b"".join(
            bytes(packet.payload[d.size :]) for packet, d in zip(parts, descriptors, strict=True)
        )
        keyframe = is_vp8_keyframe(parts[0].payload, descriptors[0].size)
        frames.append(EncodedVideoFrame("VP8", data, ts_rtp, keyframe))
    return frames


@pytest.mark.parametrize("name", ["rtp_downlink.jsonl", "rtp_uplink.jsonl"])
def test_an_sdk_s_tone_is_heard(name: str) -> None:
    stream, blocks = AudioReceiveStream(), []
    sent = packets(name, "opus")
    for number, packet in enumerate(sent):
        now_s = 10.0 + number * 0.02
        stream.put(AudioPacket(packet.seq, packet.ts_rtp, bytes(packet.payload), now_s))
        blocks.append(stream.pull(960, now_s))
    heard = np.concatenate(blocks[10:])

    assert len(sent) == 50
    assert stream.stats().malformed == 0
    assert level_db(heard) > -40
    assert tone_peak(heard).over_median_db > 15


@pytest.mark.parametrize("name", ["rtp_downlink.jsonl", "rtp_uplink.jsonl"])
def test_an_sdk_s_pictures_are_decoded(name: str) -> None:
    decoded = 0
    sent = packets(name, "VP8")
    for ssrc in {packet.ssrc for packet in sent}:
        frames = vp8_frames([packet for packet in sent if packet.ssrc == ssrc])
        if not frames or not frames[0].keyframe:
            continue
        decoder, log = VideoDecoder("VP8", lambda: None), PictureLog()
        decoder.add_sink(log)
        for frame in frames[:25]:
            decoder.submit(frame)
        log.wait_for(len(frames[:25]))
        decoder.close()
        assert decoder.stats().errors == 0
        assert all(picture.luma.std() > 1 for picture, _ in log.pictures)
        decoded += len(log.pictures)
    assert decoded >= 5
