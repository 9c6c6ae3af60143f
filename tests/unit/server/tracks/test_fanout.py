"""Batches: how packets are cut into runs, padded and patched."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.protocol.rtp.header import RtpPacket, build_rtp, parse_rtp
from app.protocol.rtp.vp8 import Vp8Descriptor, build_vp8, parse_vp8
from app.server.tracks.fanout import STEP_BYTES, Entry, patch, split_runs
from app.sfu.munger import Offsets

TAG = 16


def entry(number: int, payload: bytes) -> Entry:
    packet = build_rtp(RtpPacket(96, number & 0xFFFF, number * 10, 7, payload))
    return (number, number * 10, packet, -1, 0, -1, 0)


@given(st.lists(st.integers(0, 1150), min_size=1, max_size=40))
def test_every_packet_arrives_whole_in_segments_of_equal_size(lengths: list[int]) -> None:
    entries = [entry(i, bytes([i]) * length) for i, length in enumerate(lengths)]
    received: list[RtpPacket] = []
    for run in split_runs(entries, TAG):
        assert run.stride % STEP_BYTES == 0
        assert len(run.block) == run.stride * len(run.sizes)
        assert all(size == run.stride for size in run.wire_sizes[:-1])
        assert run.wire_sizes[-1] <= run.stride
        for i, size in enumerate(run.sizes):
            start = i * run.stride
            received.append(parse_rtp(run.block[start : start + size]))
        assert run.octets == sum(len(e[2]) - 12 for e in run.entries)
    assert [p.seq for p in received] == list(range(len(lengths)))
    assert [p.payload for p in received] == [bytes([i]) * n for i, n in enumerate(lengths)]
    assert all(p.padding_bytes < 64 for p in received)


def test_the_packets_of_one_frame_are_one_run() -> None:
    entries = [entry(i, bytes(length)) for i, length in enumerate((1100, 1099, 1100, 400))]
    (run,) = split_runs(entries, TAG)
    assert len(run.sizes) == 4


def test_a_single_packet_is_not_padded() -> None:
    (run,) = split_runs([entry(1, b"abc")], TAG)
    assert run.sizes == [15]
    assert run.wire_sizes == [31]


def test_a_patch_changes_the_numbers_and_nothing_else() -> None:
    descriptor = Vp8Descriptor(
        size=5,
        start_of_partition=True,
        partition=0,
        picture_id=0x7FFF,
        picture_id_bits=15,
        tl0_picture_index=255,
    )
    payload = build_vp8(descriptor) + b"picture"
    packet = build_rtp(RtpPacket(96, 65_535, 0xFFFFFFFF, 7, payload))
    view = bytearray(100) + packet
    offsets = Offsets(seq=1, ts_rtp=2, picture_id=3, tl0=4)

    patch(view, [(65_535, 0xFFFFFFFF, packet, 0x7FFF, 14, 255, 16)], 100, 0, offsets)

    changed = parse_rtp(bytes(view[100:]))
    assert (changed.seq, changed.ts_rtp, changed.ssrc) == (0, 1, 7)
    after = parse_vp8(changed.payload)
    assert (after.picture_id, after.tl0_picture_index) == (2, 3)
    assert changed.payload[5:] == b"picture"
