from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.protocol.rtp.encoded import EncodedVideoFrame
from app.rtc.frame_assembler import GIVE_UP_S, FrameAssembler
from app.rtc.rtp_sender import VideoRtpSender
from app.rtc.stats import ReceiverStats

KEY_HEAD = b"\x10\x00\x00\x9d\x01\x2a\x40\x01\xb4\x00"


def vp8(counter: int, *, keyframe: bool, size_bytes: int = 3_000) -> EncodedVideoFrame:
    head = KEY_HEAD if keyframe else b"\x11\x00\x00"
    data = head + counter.to_bytes(4, "big") + bytes(size_bytes - len(head) - 4)
    return EncodedVideoFrame("VP8", data, 3_000 * counter, keyframe)


def h264(counter: int, *, keyframe: bool) -> EncodedVideoFrame:
    start = b"\x00\x00\x00\x01"
    units = [b"\x67\x42\xe0\x1f", b"\x68\xce\x3c\x80"] if keyframe else []
    slice_ = (b"\x65" if keyframe else b"\x41") + counter.to_bytes(4, "big") + b"\x55" * 2_500
    data = b"".join(start + unit for unit in [*units, slice_])
    return EncodedVideoFrame("H264", data, 3_000 * counter, keyframe)


Packet = tuple[int, int, bool, bytes, str]


def packets(frames: list[EncodedVideoFrame], first_seq: int = 70_000) -> list[Packet]:
    """The packets that our sender makes of these frames, with unwrapped numbers."""
    sender = VideoRtpSender(frames[0].codec, [("", 1, 2)])
    found: list[Packet] = []
    for frame in frames:
        payloads = sender._payloads(0, frame)
        for index, payload in enumerate(payloads):
            seq = first_seq + len(found)
            marker = index == len(payloads) - 1
            found.append((seq, frame.ts_rtp, marker, payload, frame.codec))
    return found


def put(assembler: FrameAssembler, sent: list[Packet], now_s: float = 0.0) -> list[bytes]:
    return [frame.data for packet in sent for frame in assembler.handle_packet(*packet, now_s)]


@pytest.mark.parametrize("make", [vp8, h264])
def test_frames_come_out_as_they_went_in(make) -> None:  # type: ignore[no-untyped-def]
    frames = [make(number, keyframe=number == 0) for number in range(5)]

    assert put(FrameAssembler(ReceiverStats()), packets(frames)) == [f.data for f in frames]


def test_a_keyframe_tells_its_size() -> None:
    assembler = FrameAssembler(ReceiverStats())
    (frame,) = [
        frame
        for packet in packets([vp8(0, keyframe=True)])
        for frame in assembler.handle_packet(*packet, 0.0)
    ]

    assert (frame.keyframe, frame.width, frame.height) == (True, 320, 180)


@given(st.integers(0, 1 << 30))
def test_packets_in_any_order_make_the_same_frames(seed: int) -> None:
    frames = [vp8(number, keyframe=number == 0) for number in range(6)]
    sent = packets(frames)
    rest = sent[1:]
    random.Random(seed).shuffle(rest)

    # The first packet comes first: before it nobody knows where the stream begins.
    out = put(FrameAssembler(ReceiverStats()), [sent[0], *rest])
    assert out == [frame.data for frame in frames]


def test_nothing_is_shown_before_the_first_keyframe() -> None:
    frames = [vp8(number, keyframe=number == 3) for number in range(5)]
    assembler = FrameAssembler(ReceiverStats())

    assert put(assembler, packets(frames)) == [frame.data for frame in frames[3:]]
    assert not assembler.needs_keyframe


def test_a_hole_is_asked_for_after_a_moment_and_again_until_it_is_filled() -> None:
    frames = [vp8(number, keyframe=number == 0) for number in range(3)]
    sent = packets(frames)
    assembler = FrameAssembler(ReceiverStats())
    hole = sent.pop(4)
    assert put(assembler, sent) == [frames[0].data]

    assert assembler.handle_deadline(0.005) == ([], [])
    assert assembler.handle_deadline(0.011) == ([hole[0]], [])
    assert assembler.handle_deadline(0.012) == ([], [])
    assert assembler.handle_deadline(0.1) == ([hole[0]], [])
    repaired = assembler.handle_packet(*hole, 0.12, is_resend=True)

    assert [frame.data for frame in repaired] == [frames[1].data, frames[2].data]
    assert assembler.deadline_s is None


def test_a_hole_that_is_never_filled_is_given_up_for_the_next_keyframe() -> None:
    frames = [vp8(number, keyframe=number in (0, 3)) for number in range(5)]
    sent = packets(frames)
    stats = ReceiverStats()
    assembler = FrameAssembler(stats)
    assert put(assembler, sent[:4] + sent[5:]) == [frames[0].data]
    _, freed = assembler.handle_deadline(GIVE_UP_S)

    assert [frame.data for frame in freed] == [frames[3].data, frames[4].data]
    assert not assembler.needs_keyframe


def test_without_a_later_keyframe_one_is_wanted() -> None:
    frames = [vp8(number, keyframe=number == 0) for number in range(4)]
    sent = packets(frames)
    assembler = FrameAssembler(ReceiverStats())
    put(assembler, sent[:4] + sent[5:])
    assembler.handle_deadline(GIVE_UP_S)

    assert assembler.needs_keyframe
    later = packets([vp8(9, keyframe=True)], first_seq=sent[-1][0] + 1)
    assert put(assembler, later, 1.0) == [vp8(9, keyframe=True).data]


def test_a_repeated_packet_is_counted_and_changes_nothing() -> None:
    frames = [vp8(number, keyframe=number == 0) for number in range(2)]
    sent = packets(frames)
    stats = ReceiverStats()
    assembler = FrameAssembler(stats)

    out = put(assembler, [packet for packet in sent for _ in range(2)])
    assert out == [frame.data for frame in frames]
    assert stats.duplicate_packets == len(sent)


def test_padding_between_frames_is_stepped_over() -> None:
    first, second = vp8(0, keyframe=True), vp8(1, keyframe=False)
    sent = packets([first])
    after = sent[-1][0] + 1
    padding: Packet = (after, first.ts_rtp, False, b"", "VP8")

    out = put(
        FrameAssembler(ReceiverStats()),
        [*sent, padding, *packets([second], first_seq=after + 1)],
    )
    assert out == [first.data, second.data]


def test_a_stream_that_jumps_far_begins_anew() -> None:
    assembler = FrameAssembler(ReceiverStats())
    put(assembler, packets([vp8(0, keyframe=True)]))
    again = vp8(1, keyframe=True)

    assert put(assembler, packets([again], first_seq=90_000)) == [again.data]
    assert assembler.deadline_s is None


def test_memory_is_bounded_when_a_hole_stays() -> None:
    assembler = FrameAssembler(ReceiverStats())
    put(assembler, packets([vp8(0, keyframe=True)]))
    for seq in range(70_005, 80_000):
        assembler.handle_packet(seq, seq, True, b"\x90\x80\x00\x01\x11", "VP8", 0.0)

    assert len(assembler._waiting) < 3_000
    assert len(assembler._missing) < 3_000


@given(st.lists(st.tuples(st.integers(0, 40), st.booleans(), st.binary(max_size=12),
                          st.sampled_from(["VP8", "H264"])), max_size=60))  # fmt: skip
def test_any_payload_is_a_frame_or_is_dropped(
    sent: list[tuple[int, bool, bytes, str]],
) -> None:
    assembler = FrameAssembler(ReceiverStats())
    for seq, marker, payload, codec in sent:
        assembler.handle_packet(70_000 + seq, seq // 4, marker, payload, codec, 0.0)
    assembler.handle_deadline(10.0)


def test_giving_up_on_a_gap_survives_what_lies_behind_it() -> None:
    stats = ReceiverStats()
    assembler = FrameAssembler(stats)
    sent = packets([vp8(0, keyframe=True), vp8(1, keyframe=False), vp8(2, keyframe=True)])
    key = [packet for packet in sent if packet[1] == 0]
    last = [packet for packet in sent if packet[1] == 6_000]
    put(assembler, key)
    # Of the frame after the gap the descriptor promises more than there is.
    broken = (last[-1][0] + 1, 9_000, True, b"\x90\x80", "VP8")
    put(assembler, [*last, broken])

    _, frames = assembler.handle_deadline(GIVE_UP_S + 1.0)

    assert [frame.ts_rtp for frame in frames] == [6_000]
    assert stats.dropped_frames == 2
    assert assembler.needs_keyframe
