from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.protocol.rtp.encoded import AudioPacket, EncodedVideoFrame
from app.protocol.rtp.header import RtpPacket
from app.rtc.rtcp import SenderReport, ntp_of
from app.rtc.rtp_receiver import AudioRtpReceiver, VideoRtpReceiver

KEY = b"\x10\x00\x00\x9d\x01\x2a\x40\x01\xb4\x00"


def sound(seq: int, payload: bytes = b"opus", payload_type: int = 111) -> RtpPacket:
    return RtpPacket(payload_type, seq & 0xFFFF, 960 * seq, 5, payload)


def picture(
    seq: int, *, keyframe: bool = False, payload_type: int = 96, ssrc: int = 6
) -> RtpPacket:
    head = KEY if keyframe else b"\x11\x00\x00"
    return RtpPacket(payload_type, seq & 0xFFFF, 3_000 * seq, ssrc, b"\x10" + head, True)


def video() -> tuple[VideoRtpReceiver, list[EncodedVideoFrame]]:
    receiver = VideoRtpReceiver("TR_V", 6, {96: "VP8"}, rtx_ssrc=7, rtx_of={97: 96})
    frames: list[EncodedVideoFrame] = []
    receiver.sink = frames.append
    return receiver, frames


def test_sounds_are_handed_over_as_they_come() -> None:
    receiver = AudioRtpReceiver("TR_A", 5, {111: "opus"})
    heard: list[AudioPacket] = []
    receiver.sink = heard.append
    for seq in (1, 3, 2):
        receiver.handle_rtp(sound(seq), 0.02 * seq)

    assert heard == [AudioPacket(s, 960 * s, b"opus", 0.02 * s) for s in (1, 3, 2)]


def test_padding_other_payload_types_and_packets_after_the_end_make_no_sound() -> None:
    receiver = AudioRtpReceiver("TR_A", 5, {111: "opus"})
    heard: list[AudioPacket] = []
    receiver.sink = heard.append
    receiver.handle_rtp(sound(1, payload=b""), 0.0)
    receiver.handle_rtp(sound(2, payload_type=63), 0.0)
    receiver.close()
    receiver.handle_rtp(sound(3), 0.0)

    assert heard == []


def test_a_receiver_report_tells_loss_and_the_last_sender_report() -> None:
    receiver = AudioRtpReceiver("TR_A", 5, {111: "opus"})
    assert receiver.report_block(0.0) is None
    report = SenderReport(5, ntp_of(1_000.0), 0, 0, 0)
    receiver.handle_report(report, 10.0)
    for seq in (65_534, 65_535, 65_537, 65_539):
        receiver.handle_rtp(sound(seq), 10.0)

    block = receiver.report_block(10.5)
    assert block is not None
    assert block.highest_ext_seq == 0x10000 + 65_539
    assert block.cumulative_lost == 2
    assert block.fraction_lost == 2 * 256 // 6
    assert block.delay_since_last_sr == 32_768
    again = receiver.report_block(11.0)
    assert again is not None
    assert again.fraction_lost == 0


def test_jitter_grows_with_uneven_arrival() -> None:
    even, uneven = (AudioRtpReceiver("TR_A", 5, {111: "opus"}) for _ in range(2))
    for seq in range(100):
        even.handle_rtp(sound(seq), 0.02 * seq)
        uneven.handle_rtp(sound(seq), 0.02 * seq + (0.03 if seq % 2 else 0.0))

    assert even.stats.jitter_s < 0.001
    assert 0.02 < uneven.stats.jitter_s < 0.04


def test_timestamps_are_mapped_to_the_sender_s_clock() -> None:
    receiver = AudioRtpReceiver("TR_A", 5, {111: "opus"})
    assert receiver.sender_time_s(0) is None
    receiver.handle_report(SenderReport(5, ntp_of(1_000.0), 0xFFFFFF00, 0, 0), 3.0)

    mapped = receiver.sender_time_s((0xFFFFFF00 + 48_000) & 0xFFFFFFFF)
    assert mapped is not None
    assert abs(mapped - 1_001.0) < 1e-6


def test_pictures_are_handed_over_in_order_and_holes_are_asked_for() -> None:
    receiver, frames = video()
    receiver.handle_rtp(picture(10, keyframe=True), 0.0)
    receiver.handle_rtp(picture(12), 0.01)
    assert receiver.deadline_s is not None

    assert receiver.feedback(0.03) == ([65_536 + 11], False)
    receiver.handle_rtp(picture(11), 0.04)
    assert [frame.ts_rtp for frame in frames] == [30_000, 33_000, 36_000]
    assert receiver.deadline_s is None


def test_a_repaired_packet_fills_its_hole() -> None:
    receiver, frames = video()
    receiver.handle_rtp(picture(65_535, keyframe=True), 0.0)
    receiver.handle_rtp(picture(65_537), 0.01)
    missing = picture(65_536)
    payload = (0).to_bytes(2, "big") + missing.payload
    receiver.handle_rtx(RtpPacket(97, 1, missing.ts_rtp, 7, payload, True), 0.03)

    assert len(frames) == 3
    assert receiver.stats.recovered_packets == 1


def test_padding_on_the_repair_stream_carries_nothing() -> None:
    receiver, frames = video()
    receiver.handle_rtp(picture(1, keyframe=True), 0.0)
    receiver.handle_rtx(RtpPacket(97, 1, 0, 7, b"", False), 0.0)
    receiver.handle_rtx(RtpPacket(97, 2, 0, 7, b"\x00\x01", False), 0.0)
    receiver.handle_rtx(RtpPacket(99, 3, 0, 7, b"\x00\x05abc", False), 0.0)

    assert len(frames) == 1
    assert receiver.deadline_s is None


def test_a_stream_without_a_keyframe_asks_for_one_now_and_then() -> None:
    receiver, _ = video()
    receiver.handle_rtp(picture(1), 10.0)
    asked = [step / 10 for step in range(100, 125) if receiver.feedback(step / 10)[1]]

    assert asked == [10.3, 10.8, 11.3, 11.8, 12.3]


def test_a_decoder_s_wish_for_a_keyframe_goes_out_once() -> None:
    receiver, _ = video()
    urged: list[bool] = []
    receiver.on_urgent = lambda: urged.append(True)
    receiver.handle_rtp(picture(1, keyframe=True), 0.0)
    receiver.request_keyframe()

    assert urged == [True]
    assert receiver.feedback(1.0) == ([], True)
    assert receiver.feedback(5.0) == ([], False)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([96, 97, 111]), st.integers(0, 65_535), st.binary(max_size=8),
            st.booleans(),
        ),
        max_size=40,
    )
)  # fmt: skip
def test_any_packets_are_taken_without_an_error(
    sent: list[tuple[int, int, bytes, bool]],
) -> None:
    receiver, _ = video()
    for number, (payload_type, seq, payload, marker) in enumerate(sent):
        packet = RtpPacket(payload_type, seq, number, 6, payload, marker)
        now_s = number / 10
        if payload_type == 97:
            receiver.handle_rtx(packet, now_s)
        else:
            receiver.handle_rtp(packet, now_s)
        receiver.feedback(now_s)
        receiver.report_block(now_s)
