"""What an official SDK sent, packet by packet, through our media port."""

from __future__ import annotations

import itertools

from app.protocol.rtp import extensions as ext
from app.protocol.rtp.header import parse_rtp
from app.protocol.rtp.vp8 import parse_vp8, vp8_keyframe_size
from app.protocol.rtp.wrap import ts_delta
from app.rtc import rtcp
from app.server.tracks.media import DownlinkMapping, UplinkMedia, Uptrack
from tests.support.media_room import MediaRoom
from tests.support.vectors import read_vector

MICROPHONE, CAMERA = 2, 1
# Ids and mids of the recording's answer.
AUDIO = UplinkMedia(
    "7", "audio", "opus", 111, None, 48_000, extensions={ext.AUDIO_LEVEL: 1, ext.MID: 4}
)
VIDEO = UplinkMedia(
    "8",
    "video",
    "VP8",
    96,
    97,
    90_000,
    rids=("q", "h", "f"),
    extensions={ext.MID: 4, ext.RTP_STREAM_ID: 10, ext.REPAIRED_RTP_STREAM_ID: 11},
)


async def test_a_recorded_simulcast_uplink_is_placed_and_forwarded() -> None:
    room = MediaRoom.open()
    alice, bob = await room.join("PA_a"), await room.join("PA_b")
    live: list[int] = []
    microphone = Uptrack("TR_m", "audio", MICROPHONE)
    camera = Uptrack(
        "TR_c", "video", CAMERA, layers=(0, 1, 2), on_live=lambda: live.append(len(live))
    )
    alice.media.add_uplink(microphone, AUDIO)
    alice.media.add_uplink(camera, VIDEO)
    microphone.subscribe(bob.media, DownlinkMapping(111), 1, None)
    camera.subscribe(bob.media, DownlinkMapping(120, 121), 2, 3)
    records = [r for r in read_vector("rtp_uplink.jsonl") if r.direction == "client>server"]
    opus = [r.raw for r in records if r.kind == "rtp" and r.type == "opus"]
    rids = {
        r.json["ssrc"]: bytes.fromhex(r.json["ext"]["10"]).decode()
        for r in records
        if r.kind == "rtp" and "10" in r.json["ext"]
    }

    for record in records:
        if record.kind == "rtp":
            alice.peer.send_rtp(record.raw)
        elif record.kind == "rtcp":
            alice.peer.send_rtcp(record.raw)

    def received(ssrc: int) -> list[bytes]:
        return [data for data in bob.peer.rtp if parse_rtp(data).ssrc == ssrc]

    await bob.peer.until(lambda: len(received(1)) == len(opus))
    assert [parse_rtp(d).payload for d in received(1)] == [parse_rtp(d).payload for d in opus]
    assert alice.media.malformed == 0
    by_rid = {rid: ssrc for ssrc, rid in rids.items()}
    expected = {0: (by_rid["q"], "q"), 1: (by_rid["h"], "h"), 2: (by_rid["f"], "f")}
    assert camera.live_layers == expected
    assert live == [0, 1, 2]

    await bob.peer.until(lambda: bool(received(2)))
    video = [parse_rtp(data) for data in received(2)]
    first = parse_vp8(video[0].payload)
    assert first.starts_frame
    assert vp8_keyframe_size(video[0].payload[first.size :]) == (1280, 720)
    assert all(packet.payload for packet in video)
    assert all(ts_delta(b.ts_rtp, a.ts_rtp) >= 0 for a, b in itertools.pairwise(video))

    def reported() -> set[int]:
        items = [item for data in alice.peer.rtcp for item in rtcp.parse_rtcp(data)]
        return {b.ssrc for i in items if isinstance(i, rtcp.ReceiverReport) for b in i.blocks}

    await alice.peer.until(lambda: reported() >= set(rids))
    await room.close()
