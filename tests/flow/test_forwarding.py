"""Media through the real port: what a publisher sends and what subscribers get."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from functools import partial
from itertools import pairwise

import pytest

from app.protocol.rtp import extensions as ext
from app.protocol.rtp.header import RtpPacket, build_rtp, parse_rtp
from app.protocol.rtp.vp8 import parse_vp8
from app.protocol.rtp.wrap import seq_delta, ts_delta
from app.rtc import rtcp
from app.server.tracks.media import DownlinkMapping, Downtrack, UplinkMedia, Uptrack
from tests.support.media_room import MediaRoom, Person, Vp8Source

CAMERA, MICROPHONE = 1, 2
OUT_SSRC, OUT_RTX = 0xAAAA0001, 0xAAAA0002
AUDIO = UplinkMedia("0", "audio", "opus", 111, None, 48_000, ssrcs=(500,))
VIDEO = UplinkMedia("1", "video", "VP8", 96, 97, 90_000, ssrcs=(600,), rtx_ssrcs=(601,))
RID_ID, MID_ID, RRID_ID, CC_ID, LEVEL_ID = 2, 3, 4, 5, 1
SIMULCAST = UplinkMedia(
    "2",
    "video",
    "VP8",
    96,
    97,
    90_000,
    rids=("q", "h"),
    extensions={
        ext.MID: MID_ID,
        ext.RTP_STREAM_ID: RID_ID,
        ext.REPAIRED_RTP_STREAM_ID: RRID_ID,
        ext.TRANSPORT_CC: CC_ID,
    },
)


@pytest.fixture
async def room() -> AsyncIterator[MediaRoom]:
    room = MediaRoom.open()
    yield room
    await room.close()


def publish(person: Person, media: UplinkMedia, *, layers: tuple[int, ...] = ()) -> Uptrack:
    source = MICROPHONE if media.kind == "audio" else CAMERA
    uptrack = Uptrack("TR_x", media.kind, source, layers=layers)
    person.media.add_uplink(uptrack, media)
    return uptrack


def subscribe(
    uptrack: Uptrack, to: Person, payload_type: int = 120, rtx: int | None = 121
) -> Downtrack:
    return uptrack.subscribe(
        to.media, DownlinkMapping(payload_type, rtx), OUT_SSRC, OUT_RTX if rtx else None
    )


def opus(seq: int, ts_rtp: int, extensions: dict[int, bytes] | None = None) -> bytes:
    return build_rtp(
        RtpPacket(111, seq, ts_rtp, 500, b"opus" + bytes([seq & 255]), extensions=extensions or {})
    )


def has_packets(person: Person, count: int) -> bool:
    return len(person.peer.rtp) >= count


async def wait_for_pli(person: Person, ssrc: int) -> None:
    def asked() -> bool:
        return any(
            item == rtcp.KeyframeRequest(ssrc)
            for data in person.peer.rtcp
            for item in rtcp.parse_rtcp(data)
        )

    await person.peer.until(asked)


def check_stream(packets: list[bytes]) -> list[RtpPacket]:
    """One unbroken stream: numbers by one, time forward, picture ids by one per picture."""
    parsed = [parse_rtp(data) for data in packets]
    for before, after in pairwise(parsed):
        assert seq_delta(after.seq, before.seq) == 1
        assert ts_delta(after.ts_rtp, before.ts_rtp) >= 0
        old, new = parse_vp8(before.payload), parse_vp8(after.payload)
        step = 1 if after.ts_rtp != before.ts_rtp else 0
        assert (new.picture_id - old.picture_id) & 0x7FFF == step
        assert (new.tl0_picture_index - old.tl0_picture_index) & 0xFF == step
    return parsed


async def test_audio_reaches_everybody_with_their_own_payload_type(room: MediaRoom) -> None:
    alice, bob, carol = [await room.join(sid) for sid in ("PA_a", "PA_b", "PA_c")]
    uptrack = publish(alice, AUDIO)
    subscribe(uptrack, bob, 111, None)
    subscribe(uptrack, carol, 109, None)

    for i in range(10):
        alice.peer.send_rtp(opus(65_530 + i & 0xFFFF, 960 * i))

    for person, payload_type in ((bob, 111), (carol, 109)):
        await person.peer.until(partial(has_packets, person, 10))
        packets = [parse_rtp(data) for data in person.peer.rtp]
        assert {p.payload_type for p in packets} == {payload_type}
        assert {p.ssrc for p in packets} == {OUT_SSRC}
        assert [p.payload[-1] for p in packets] == [(65_530 + i) & 255 for i in range(10)]
        assert [p.ts_rtp for p in packets] == [960 * i for i in range(10)]
        assert not person.peer.unauthentic
    assert not alice.peer.rtp


async def test_video_starts_with_a_keyframe_that_was_asked_for(room: MediaRoom) -> None:
    alice, bob = await room.join("PA_a"), await room.join("PA_b")
    uptrack = publish(alice, VIDEO)
    live: list[str] = []
    uptrack._on_live = lambda: live.append(uptrack.mime_type)
    source = Vp8Source(600)
    for packet in source.frame():
        alice.peer.send_rtp(packet)
    subscribe(uptrack, bob)
    for packet in source.frame():
        alice.peer.send_rtp(packet)
    await wait_for_pli(alice, 600)
    assert live == ["video/VP8"]
    assert uptrack.live_layers == {0: (600, "")}

    sent = [*source.frame(key=True), *source.frame(), *source.frame(packets=50)]
    for packet in sent:
        alice.peer.send_rtp(packet)

    await bob.peer.until(lambda: len(bob.peer.rtp) == len(sent))
    parsed = check_stream(bob.peer.rtp)
    assert [p.marker for p in parsed] == [parse_rtp(p).marker for p in sent]
    assert [p.payload for p in parsed] == [parse_rtp(p).payload for p in sent]


async def test_a_lost_packet_is_asked_for_upstream_and_resent_downstream(room: MediaRoom) -> None:
    alice, bob = await room.join("PA_a"), await room.join("PA_b")
    uptrack = publish(alice, VIDEO)
    subscribe(uptrack, bob)
    source = Vp8Source(600)
    packets = [*source.frame(key=True), *source.frame()]
    lost = packets.pop(2)
    for packet in packets:
        alice.peer.send_rtp(packet)
    lost_seq = parse_rtp(lost).seq

    def nacked() -> bool:
        return any(
            isinstance(item, rtcp.Nack) and item.seqs == (lost_seq,)
            for data in alice.peer.rtcp
            for item in rtcp.parse_rtcp(data)
        )

    await alice.peer.until(nacked)
    original = parse_rtp(lost)
    alice.peer.send_rtp(
        build_rtp(
            RtpPacket(
                97,
                1,
                original.ts_rtp,
                601,
                struct.pack("!H", lost_seq) + original.payload,
                marker=original.marker,
            )
        )
    )
    await bob.peer.until(lambda: len(bob.peer.rtp) == 6)
    late = parse_rtp(bob.peer.rtp[-1])
    assert (late.seq, late.payload, late.marker) == (lost_seq, original.payload, True)

    bob.peer.send_rtcp(rtcp.build_nack(1, OUT_SSRC, [late.seq]))
    await bob.peer.until(lambda: len(bob.peer.rtp) == 7)
    resent = parse_rtp(bob.peer.rtp[-1])
    assert (resent.ssrc, resent.payload_type) == (OUT_RTX, 121)
    assert resent.payload == struct.pack("!H", late.seq) + late.payload
    assert resent.marker


async def test_probes_are_not_forwarded_and_leave_no_hole(room: MediaRoom) -> None:
    alice, bob = await room.join("PA_a"), await room.join("PA_b")
    subscribe(publish(alice, VIDEO), bob)
    source = Vp8Source(600)
    for packet in source.frame(key=True):
        alice.peer.send_rtp(packet)
    for _ in range(300):
        alice.peer.send_rtp(build_rtp(RtpPacket(96, source.seq, 0, 600, b"", padding_bytes=200)))
        source.seq = source.seq + 1 & 0xFFFF
    alice.peer.send_rtp(build_rtp(RtpPacket(97, 5, 0, 601, b"", padding_bytes=200)))
    for packet in source.frame():
        alice.peer.send_rtp(packet)
    await bob.peer.until(lambda: len(bob.peer.rtp) == 6)
    check_stream(bob.peer.rtp)


async def test_layers_are_switched_on_keyframes_without_a_seam(room: MediaRoom) -> None:
    alice, bob, carol = [await room.join(sid) for sid in ("PA_a", "PA_b", "PA_c")]
    uptrack = publish(alice, SIMULCAST, layers=(0, 2))
    low = Vp8Source(701, extensions={MID_ID: b"2", RID_ID: b"q"})
    high = Vp8Source(702, seq=30_000, ts_rtp=5, picture_id=77, tl0=9)
    high.extensions = {MID_ID: b"2", RID_ID: b"h"}
    downtrack = subscribe(uptrack, bob)
    subscribe(uptrack, carol)
    downtrack.set_max_quality(0)

    def send(*frames: list[bytes]) -> None:
        for frame in frames:
            for packet in frame:
                alice.peer.send_rtp(packet)

    send(low.frame(key=True))
    await bob.peer.until(lambda: len(bob.peer.rtp) == 3)
    low.extensions = {}
    send(high.frame(key=True))
    high.extensions = {}
    await carol.peer.until(lambda: len(carol.peer.rtp) == 6)
    send(low.frame(), high.frame())
    await bob.peer.until(lambda: len(bob.peer.rtp) == 6)
    assert uptrack.live_layers == {0: (701, "q"), 1: (702, "h")}

    downtrack.set_max_quality(2)
    await wait_for_pli(alice, 702)
    send(high.frame(), low.frame(), high.frame(key=True), low.frame(), high.frame())
    await bob.peer.until(lambda: len(bob.peer.rtp) == 15)
    parsed = check_stream(bob.peer.rtp)
    assert [p.payload[-1] for p in parsed] == [701 & 255] * 9 + [702 & 255] * 6

    # A resend of what came before the switch is numbered as it was then.
    for wanted in (parsed[4], parsed[-1]):
        count = len(bob.peer.rtp)
        bob.peer.send_rtcp(rtcp.build_nack(1, OUT_SSRC, [wanted.seq]))
        await bob.peer.until(partial(has_packets, bob, count + 1))
        resent = parse_rtp(bob.peer.rtp[-1])
        assert resent.payload[2:] == wanted.payload
        assert resent.ts_rtp == wanted.ts_rtp


async def test_mute_sends_silence_and_unmute_goes_on(room: MediaRoom) -> None:
    alice, bob = await room.join("PA_a"), await room.join("PA_b")
    uptrack = publish(alice, AUDIO)
    subscribe(uptrack, bob, 111, None)
    alice.peer.send_rtp(opus(1, 960))
    await bob.peer.until(lambda: len(bob.peer.rtp) == 1)
    uptrack.muted = True
    alice.peer.send_rtp(opus(2, 960 * 2))
    await bob.peer.until(lambda: len(bob.peer.rtp) >= 6)
    uptrack.muted = False
    alice.peer.send_rtp(opus(3, 960 * 100))
    await bob.peer.until(lambda: parse_rtp(bob.peer.rtp[-1]).payload == b"opus\x03")
    packets = [parse_rtp(data) for data in bob.peer.rtp]
    assert packets[1].payload[:3] == b"\xf8\xff\xfe"
    for before, after in pairwise(packets):
        assert seq_delta(after.seq, before.seq) == 1
        assert ts_delta(after.ts_rtp, before.ts_rtp) > 0


async def test_video_after_an_unmute_or_a_pause_starts_with_a_keyframe(room: MediaRoom) -> None:
    alice, bob = await room.join("PA_a"), await room.join("PA_b")
    uptrack = publish(alice, VIDEO)
    downtrack = subscribe(uptrack, bob)
    source = Vp8Source(600)

    def send(frame: list[bytes]) -> None:
        for packet in frame:
            alice.peer.send_rtp(packet)

    send(source.frame(key=True))
    await bob.peer.until(lambda: len(bob.peer.rtp) == 3)
    downtrack.set_enabled(False)
    send(source.frame())
    await alice.peer.until(lambda: bool(alice.peer.rtcp))
    downtrack.set_enabled(True)
    send(source.frame())
    send(source.frame(key=True))
    await bob.peer.until(lambda: len(bob.peer.rtp) == 6)
    check_stream(bob.peer.rtp)


async def test_the_end_of_a_subscription_shows_a_blank_picture(room: MediaRoom) -> None:
    alice, bob = await room.join("PA_a"), await room.join("PA_b")
    uptrack = publish(alice, VIDEO)
    subscribe(uptrack, bob)
    for packet in Vp8Source(600).frame(key=True):
        alice.peer.send_rtp(packet)
    await bob.peer.until(lambda: len(bob.peer.rtp) == 3)
    uptrack.close()
    alice.media.remove_uplink(VIDEO.mid)
    await bob.peer.until(lambda: len(bob.peer.rtp) == 9)
    parsed = check_stream(bob.peer.rtp)
    assert all(p.marker for p in parsed[3:])


async def test_reports_go_both_ways(room: MediaRoom) -> None:
    alice, bob = await room.join("PA_a"), await room.join("PA_b")
    uptrack = publish(alice, SIMULCAST, layers=(0, 2))
    downtrack = subscribe(uptrack, bob)
    source = Vp8Source(701)
    for i, packet in enumerate(source.frame(key=True, packets=10)):
        source.extensions = {MID_ID: b"2", RID_ID: b"q", CC_ID: struct.pack("!H", i)}
        parsed = parse_rtp(packet)
        alice.peer.send_rtp(
            build_rtp(
                RtpPacket(
                    parsed.payload_type,
                    parsed.seq,
                    parsed.ts_rtp,
                    parsed.ssrc,
                    parsed.payload,
                    parsed.marker,
                    source.extensions,
                )
            )
        )
    alice.peer.send_rtcp(
        rtcp.build_sender_report(rtcp.SenderReport(701, 1 << 40, source.ts_rtp, 10, 1000))
    )
    seen: list[rtcp.RtcpItem] = []

    def find(person: Person, kind: type) -> list[rtcp.RtcpItem]:
        seen[:] = [i for data in person.peer.rtcp for i in rtcp.parse_rtcp(data)]
        return [item for item in seen if isinstance(item, kind)]

    await alice.peer.until(lambda: bool(find(alice, rtcp.TransportFeedback)))
    feedback = find(alice, rtcp.TransportFeedback)[0]
    assert isinstance(feedback, rtcp.TransportFeedback)
    assert feedback.base_seq == 0
    await alice.peer.until(lambda: bool(find(alice, rtcp.ReceiverReport)))
    report = find(alice, rtcp.ReceiverReport)[-1]
    assert isinstance(report, rtcp.ReceiverReport)
    assert [block.ssrc for block in report.blocks] == [701]
    await bob.peer.until(lambda: bool(find(bob, rtcp.SenderReport)))
    sender = find(bob, rtcp.SenderReport)[0]
    assert isinstance(sender, rtcp.SenderReport)
    assert sender.ssrc == OUT_SSRC
    assert sender.packets == 10
    block = rtcp.ReportBlock(OUT_SSRC, 10, 1, 5, 0, rtcp.ntp_middle(sender.ntp), 0)
    bob.peer.send_rtcp(rtcp.build_receiver_report(9, [block]))
    await alice.peer.until(lambda: downtrack.fraction_lost == 10)


async def test_a_speaker_is_noticed_and_forgotten(room: MediaRoom) -> None:
    alice = await room.join("PA_a")
    media = UplinkMedia(
        "0", "audio", "opus", 111, None, 48_000, (500,), extensions={ext.AUDIO_LEVEL: LEVEL_ID}
    )
    publish(alice, media)
    seq = 0
    async with asyncio.timeout(30):
        while not room.speakers:
            # More than real time, so that a slow machine still fills a window.
            for _ in range(3):
                alice.peer.send_rtp(opus(seq & 0xFFFF, seq * 960, {LEVEL_ID: b"\x8a"}))
                seq += 1
            await asyncio.sleep(0.02)
    sid, level, active = room.speakers[0]
    assert (sid, active) == ("PA_a", True)
    assert 0 < level <= 1
    assert (level * 8) % 1 == 0
    async with asyncio.timeout(30):
        await alice.peer.until(lambda: not room.speakers[-1][2])
    assert room.speakers[-1] == ("PA_a", 0.0, False)


async def test_hostile_packets_harm_nobody(room: MediaRoom) -> None:
    alice, bob = await room.join("PA_a"), await room.join("PA_b")
    uptrack = publish(alice, VIDEO)
    subscribe(uptrack, bob)
    for packet in (
        build_rtp(RtpPacket(96, 1, 1, 600, b"")),
        build_rtp(RtpPacket(96, 2, 1, 600, b"\x90")),
        build_rtp(RtpPacket(96, 3, 1, 600, b"\x90\xff\xff")),
        build_rtp(RtpPacket(97, 3, 1, 601, b"\x01")),
        build_rtp(RtpPacket(13, 3, 1, 99, b"\x01")),
        b"\xa0\x60\x00\x09" + bytes(4) + (600).to_bytes(4, "big") + b"no padding\x00",
    ):
        alice.peer.send_rtp(packet)
    for packet in Vp8Source(600, seq=4).frame(key=True):
        alice.peer.send_rtp(packet)
    await bob.peer.until(lambda: len(bob.peer.rtp) == 3)
    assert alice.media.malformed >= 2
    assert alice.media.unplaced >= 1


async def test_a_second_subscription_numbers_on_where_the_first_ended(room: MediaRoom) -> None:
    alice, bob = await room.join("PA_a"), await room.join("PA_b")
    uptrack = publish(alice, VIDEO)
    source = Vp8Source(600)
    downtrack = subscribe(uptrack, bob)
    for packet in source.frame(key=True):
        alice.peer.send_rtp(packet)
    await bob.peer.until(partial(has_packets, bob, 3))
    bob.peer.send_rtcp(rtcp.build_nack(1, OUT_SSRC, [parse_rtp(bob.peer.rtp[0]).seq]))
    await bob.peer.until(partial(has_packets, bob, 4))
    resent = parse_rtp(bob.peer.rtp.pop())
    downtrack.close()
    # Minutes later: more packets have passed than SRTP's counters could tell from replays.
    for _ in range(2):
        source.seq = source.seq + 20_000 & 0xFFFF
        alice.peer.send_rtp(source.frame(packets=1)[0])
    subscribe(uptrack, bob)
    for packet in source.frame(key=True):
        alice.peer.send_rtp(packet)
    await bob.peer.until(lambda: sum(len(p) > 200 for p in bob.peer.rtp) == 6)
    parsed = check_stream([p for p in bob.peer.rtp if parse_rtp(p).ssrc == OUT_SSRC])
    bob.peer.send_rtcp(rtcp.build_nack(1, OUT_SSRC, [parsed[-1].seq]))
    await bob.peer.until(lambda: parse_rtp(bob.peer.rtp[-1]).ssrc == OUT_RTX)
    assert parse_rtp(bob.peer.rtp[-1]).seq == resent.seq + 1
    assert not bob.peer.unauthentic


async def test_a_resend_that_is_too_old_for_srtp_harms_nobody(room: MediaRoom) -> None:
    alice, bob = await room.join("PA_a"), await room.join("PA_b")
    uptrack = publish(alice, VIDEO)
    downtrack = subscribe(uptrack, bob, rtx=None)
    source = Vp8Source(600)
    for packet in [*source.frame(key=True), *source.frame(packets=300)]:
        alice.peer.send_rtp(packet)
    await bob.peer.until(partial(has_packets, bob, 303))
    old, young = parse_rtp(bob.peer.rtp[5]), parse_rtp(bob.peer.rtp[-5])
    bob.peer.send_rtcp(rtcp.build_nack(1, OUT_SSRC, [old.seq, young.seq]))
    for packet in source.frame():
        alice.peer.send_rtp(packet)
    await bob.peer.until(lambda: bob.peer.unauthentic + len(bob.peer.rtp) >= 307)
    assert downtrack.resent == 1
    assert downtrack.transport.send_drops == 1


async def test_forwarding_works_on_uvloop_too() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def scenario() -> None:
        room = MediaRoom.open()
        alice, bob = await room.join("PA_a"), await room.join("PA_b")
        subscribe(publish(alice, AUDIO), bob, 111, None)
        for i in range(10):
            alice.peer.send_rtp(opus(i, 960 * i))
        await bob.peer.until(partial(has_packets, bob, 10))
        await room.close()

    await asyncio.to_thread(uvloop.run, scenario())
