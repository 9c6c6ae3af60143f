"""Answers to recorded offers: every section answered as official clients need it."""

from __future__ import annotations

import pytest

from app.protocol.answer import (
    AnswerPlan,
    DownlinkAnswer,
    LocalTransport,
    UplinkAnswer,
    build_answer,
    choose_codec,
    is_slot,
    is_uplink,
    section_mapping,
    uplink_extensions,
    uplink_ssrcs,
)
from app.protocol.sdp import (
    EXT_DEPENDENCY_DESCRIPTOR,
    EXT_REPAIRED_RID,
    EXT_RID,
    MediaSection,
    RtpCodec,
    SessionDescription,
    parse_sdp,
)
from tests.support.vectors import read_vector

TRANSPORT = LocalTransport(
    "ufrag", "p" * 24, "AA:BB", ("candidate:1 1 udp 1 127.0.0.1 9 typ host",)
)
NAMES = [
    "python_v1_publish_subscribe.alice.jsonl",
    "python_v1_publish_subscribe.bob.jsonl",
    "chromium_v1_publish_subscribe.jsonl",
]


def offers(name: str) -> list[SessionDescription]:
    found = []
    for record in read_vector(name):
        if record.type == "offer" and record.direction == "client>server":
            found.append(record.json["offer"]["sdp"])
        if record.type == "join_request" and "publisher_offer" in record.json:
            found.append(record.json["publisher_offer"]["sdp"])
    return [parse_sdp("\r\n".join(lines)) for lines in found]


def plan_for(offer: SessionDescription) -> AnswerPlan:
    uplinks: dict[str, UplinkAnswer] = {}
    downlinks: dict[str, DownlinkAnswer] = {}
    for section in offer.media:
        codec = choose_codec(section)
        if is_uplink(section) and codec is not None:
            uplinks[section.mid] = UplinkAnswer(codec, section.rtx_for(codec.payload_type))
        elif is_slot(section) and not any(
            offer.section(mid).kind == section.kind  # type: ignore[union-attr]
            for mid in downlinks
        ):
            mime = "audio/opus" if section.kind == "audio" else "video/VP8"
            downlinks[section.mid] = DownlinkAnswer(
                "TR_x", "PA_x|TR_x", mime, 1000, 1001 if section.kind == "video" else None
            )
    return AnswerPlan(TRANSPORT, "1", 1, uplinks, downlinks)


@pytest.mark.parametrize("name", NAMES)
def test_sections_keep_their_order_and_none_is_rejected(name: str) -> None:
    for offer in offers(name):
        answer = parse_sdp(build_answer(offer, plan_for(offer)).to_text())
        assert [m.mid for m in answer.media] == [m.mid for m in offer.media]
        assert [m.kind for m in answer.media] == [m.kind for m in offer.media]
        assert answer.bundle == offer.bundle
        assert answer.ice_lite
        for section in answer.media:
            assert section.port == 9
            assert section.setup == "passive"
            assert (section.ice_ufrag, section.ice_pwd) == ("ufrag", "p" * 24)
            assert section.fingerprints == [("sha-256", "AA:BB")]
            assert section.rtcp_mux or section.is_application
        assert answer.media[0].candidates == list(TRANSPORT.candidates)
        assert answer.media[0].end_of_candidates


@pytest.mark.parametrize("name", NAMES)
def test_numbers_are_the_clients(name: str) -> None:
    for offer in offers(name):
        answer = build_answer(offer, plan_for(offer))
        for offered, answered in zip(offer.media, answer.media, strict=True):
            for codec in answered.codecs:
                known = offered.codec(codec.payload_type)
                assert known is not None
                assert known.name == codec.name
                assert set(codec.feedback) <= set(known.feedback)
            assert answered.extensions.items() <= offered.extensions.items()


@pytest.mark.parametrize("name", NAMES)
def test_directions_follow_what_flows(name: str) -> None:
    for offer in offers(name):
        plan = plan_for(offer)
        for section in build_answer(offer, plan).media:
            if section.mid in plan.uplinks:
                assert section.direction == "recvonly"
                assert all(codec.name.lower() != "red" for codec in section.codecs)
            elif section.mid in plan.downlinks:
                assert section.direction == "sendonly"
                assert section.msid == ("PA_x|TR_x", "TR_x")
                assert 1000 in section.ssrcs
            elif not section.is_application:
                assert section.direction == "inactive"


@pytest.mark.parametrize("name", NAMES)
def test_unused_video_slots_keep_the_rid_extensions(name: str) -> None:
    for offer in offers(name):
        for section in build_answer(offer, plan_for(offer)).media:
            if section.kind == "video" and section.direction == "inactive":
                assert {EXT_RID, EXT_REPAIRED_RID} <= set(section.extensions)


def test_simulcast_is_mirrored_without_the_dependency_descriptor() -> None:
    offer = next(o for o in offers(NAMES[0]) if any(m.simulcast for m in o.media))
    offered = next(m for m in offer.media if m.simulcast)
    answered = build_answer(offer, plan_for(offer)).section(offered.mid)
    assert answered is not None
    assert answered.rids == [(rid, "recv") for rid, _ in offered.rids]
    assert answered.simulcast == ("recv", offered.simulcast[1] if offered.simulcast else [])
    assert EXT_DEPENDENCY_DESCRIPTOR not in uplink_extensions(offered)
    assert uplink_ssrcs(offered) == ((), ())


def test_media_and_resend_ssrcs_are_told_apart() -> None:
    section = MediaSection("video", "1")
    section.ssrcs = {5: {}, 6: {}}
    section.ssrc_groups = [("FID", [5, 6])]
    assert uplink_ssrcs(section) == ((5,), (6,))


def test_a_named_codec_wins_and_h264_is_taken_in_the_form_all_can_decode() -> None:
    section = MediaSection("video", "1", direction="sendonly")
    section.codecs = [
        RtpCodec(96, "VP8", 90000),
        RtpCodec(97, "H264", 90000, fmtp="packetization-mode=0;profile-level-id=42e01f"),
        RtpCodec(98, "H264", 90000, fmtp="packetization-mode=1;profile-level-id=640032"),
        RtpCodec(99, "H264", 90000, fmtp="packetization-mode=1;profile-level-id=42e01f"),
        RtpCodec(100, "rtx", 90000, fmtp="apt=99"),
        RtpCodec(45, "AV1", 90000),
    ]
    for wanted, payload_type in (("video/h264", 99), ("video/VP8", 96), ("video/av1", 96)):
        codec = choose_codec(section, wanted)
        assert codec is not None
        assert codec.payload_type == payload_type
    mapping = section_mapping(section, "video/H264")
    assert mapping is not None
    assert (mapping.payload_type, mapping.rtx_payload_type) == (99, 100)
    assert section_mapping(section, "video/AV1") is None


def test_a_section_without_a_known_codec_is_no_slot_and_stays_inactive() -> None:
    section = MediaSection("video", "1", direction="recvonly", codecs=[RtpCodec(45, "AV1", 90000)])
    assert not is_slot(section)
    offer = SessionDescription(media=[section])
    answered = build_answer(offer, AnswerPlan(TRANSPORT, "1", 1)).media[0]
    assert (answered.direction, [c.name for c in answered.codecs]) == ("inactive", ["AV1"])
