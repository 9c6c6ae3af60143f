from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from livekit.protocol import rtc as lk_rtc

from app.engine.media_sections import (
    DownlinkTrack,
    LocalTransport,
    Uplink,
    UplinkLayer,
)
from app.engine.negotiation import (
    Negotiated,
    PublisherNegotiator,
    SubscriberNegotiator,
)
from app.protocol.errors import ProtocolError
from app.protocol.sdp import (
    EXT_AUDIO_LEVEL,
    EXT_MID,
    EXT_REPAIRED_RID,
    EXT_RID,
    SessionDescription,
    parse_sdp,
)
from tests.support.vectors import read_vector

LOCAL = LocalTransport("uf", "p" * 24, "AA:BB", ("1 1 udp 2130706431 127.0.0.1 4000 typ host",))
MICROPHONE = Uplink("mic", "audio", "opus", (UplinkLayer("", 11, 12),))
CAMERA = Uplink("cam", "video", "VP8", (UplinkLayer("q", 21, 22), UplinkLayer("h", 23, 24)))
SCREEN = Uplink("screen", "video", "H264", (UplinkLayer("", 31, 32),))


def v1() -> PublisherNegotiator:
    return PublisherNegotiator(LOCAL, session_id=7, slots=(3, 3))


def offered(negotiator: PublisherNegotiator) -> SessionDescription:
    offer = negotiator.next_offer()
    assert offer is not None
    return parse_sdp(offer.sdp)


def accept(description: SessionDescription) -> SessionDescription:
    """What a server without any tracks answers: everything accepted, nothing sent."""
    answer = parse_sdp(description.to_text())
    for media in answer.media:
        media.setup = "passive"
        media.ice_ufrag, media.ice_pwd = "server", "s" * 24
        media.fingerprints = [("sha-256", "CC:DD")]
        media.candidates, media.end_of_candidates = [], False
        media.msid, media.ssrcs, media.ssrc_groups = None, {}, []
        if media.kind != "application":
            media.direction = {"recvonly": "inactive", "sendonly": "recvonly"}.get(
                media.direction, "inactive"
            )
    return answer


def put_track(
    answer: SessionDescription, mid: str, participant: str, track: str, ssrc: int
) -> None:
    media = answer.section(mid)
    assert media is not None
    media.direction = "sendonly"
    media.msid = (f"{participant}|{track}", track)
    media.ssrcs = {ssrc: {"cname": "x"}}
    if media.kind == "video":
        media.ssrcs[ssrc + 1] = {"cname": "x"}
        media.ssrc_groups = [("FID", [ssrc, ssrc + 1])]


def take(negotiator: PublisherNegotiator, answer: SessionDescription, **tracks: str) -> Negotiated:
    message = lk_rtc.SessionDescription(
        type="answer",
        sdp=answer.to_text(),
        mid_to_track_id={mid.removeprefix("mid"): sid for mid, sid in tracks.items()},
    )
    negotiated = negotiator.handle_answer(message)
    assert negotiated is not None
    return negotiated


def test_the_first_v1_offer_has_three_slots_of_each_kind_and_data_channels() -> None:
    negotiator = v1()
    offer = offered(negotiator)

    assert [(m.kind, m.mid, m.direction) for m in offer.media] == [
        ("audio", "0", "recvonly"),
        ("audio", "1", "recvonly"),
        ("audio", "2", "recvonly"),
        ("video", "3", "recvonly"),
        ("video", "4", "recvonly"),
        ("video", "5", "recvonly"),
        ("application", "6", "sendrecv"),
    ]
    assert offer.bundle == list("0123456")
    assert all(m.setup == "actpass" and m.fingerprints for m in offer.media)
    assert offer.media[0].candidates == ["candidate:" + LOCAL.candidates[0]]
    assert offer.media[6].max_message_size == 65_535
    # Unused video slots keep the rid extensions: other clients' later offers fail without.
    assert EXT_RID in offer.media[3].extensions
    assert EXT_REPAIRED_RID in offer.media[3].extensions


def test_a_v0_publisher_offers_data_channels_and_its_tracks_alone() -> None:
    negotiator = PublisherNegotiator(LOCAL, session_id=7)
    negotiator.add_uplink(MICROPHONE)

    assert [(m.kind, m.direction) for m in offered(negotiator).media] == [
        ("application", "sendrecv"),
        ("audio", "sendonly"),
    ]


def test_one_offer_is_in_flight_and_changes_meanwhile_wait_for_the_answer() -> None:
    negotiator = v1()
    first = offered(negotiator)
    negotiator.add_uplink(MICROPHONE)
    assert negotiator.next_offer() is None
    assert not negotiator.is_settled

    take(negotiator, accept(first))
    second = negotiator.next_offer()

    assert second is not None
    assert second.id == 2
    assert len(parse_sdp(second.sdp).media) == 8
    assert not negotiator.is_settled


def test_an_answer_to_another_offer_is_ignored() -> None:
    negotiator = v1()
    answer = accept(offered(negotiator)).to_text()

    assert negotiator.handle_answer(lk_rtc.SessionDescription(sdp=answer, id=99)) is None
    assert negotiator.handle_answer(lk_rtc.SessionDescription(sdp=answer, id=1)) is not None
    assert negotiator.handle_answer(lk_rtc.SessionDescription(sdp=answer, id=1)) is None
    assert negotiator.is_settled


def test_a_microphone_is_offered_with_its_ssrc_and_accepted_with_the_server_s_numbers() -> None:
    negotiator = v1()
    take(negotiator, accept(offered(negotiator)))
    mid = negotiator.add_uplink(MICROPHONE)
    offer = offered(negotiator)
    section = offer.section(mid)
    assert section is not None
    assert section.direction == "sendonly"
    assert section.msid == ("-", "mic")
    assert list(section.ssrcs) == [11]

    (parameters,) = take(negotiator, accept(offer)).uplinks

    assert (parameters.cid, parameters.mid, parameters.payload_type) == ("mic", "7", 111)
    assert parameters.rtx_payload_type is None
    assert set(parameters.extensions) >= {EXT_MID, EXT_AUDIO_LEVEL}


def test_simulcast_is_named_by_rids_and_not_by_ssrcs() -> None:
    negotiator = v1()
    negotiator.add_uplink(CAMERA)
    section = offered(negotiator).media[-1]

    assert section.rids == [("q", "send"), ("h", "send")]
    assert section.simulcast == ("send", ["q", "h"])
    assert section.ssrcs == {}
    assert [codec.name for codec in section.codecs] == ["VP8", "rtx"]


def test_a_single_video_has_its_repair_stream_and_only_its_codec() -> None:
    negotiator = v1()
    negotiator.add_uplink(SCREEN)
    section = offered(negotiator).media[-1]

    assert section.ssrc_groups == [("FID", [31, 32])]
    assert [codec.name for codec in section.codecs] == ["H264", "rtx"]


def test_an_unpublished_section_turns_inactive_and_is_not_used_again() -> None:
    negotiator = v1()
    negotiator.add_uplink(MICROPHONE)
    take(negotiator, accept(offered(negotiator)))
    negotiator.remove_uplink("mic")
    offer = offered(negotiator)
    assert offer.media[-1].direction == "inactive"
    assert offer.media[-1].msid is None

    take(negotiator, accept(offer))
    assert negotiator.add_uplink(MICROPHONE) == "8"
    assert [m.direction for m in offered(negotiator).media[-2:]] == ["inactive", "sendonly"]


def test_more_sections_are_added_when_the_server_needs_them() -> None:
    negotiator = v1()
    take(negotiator, accept(offered(negotiator)))
    negotiator.add_slots(1, 2)

    assert [(m.kind, m.direction) for m in offered(negotiator).media[7:]] == [
        ("audio", "recvonly"),
        ("video", "recvonly"),
        ("video", "recvonly"),
    ]


def test_a_requirement_of_nothing_means_offer_again() -> None:
    negotiator = v1()
    take(negotiator, accept(offered(negotiator)))
    negotiator.add_slots(0, 0)

    assert len(offered(negotiator).media) == 7


def test_a_server_cannot_make_us_offer_without_end() -> None:
    negotiator = v1()
    take(negotiator, accept(offered(negotiator)))
    for _ in range(3):
        negotiator.add_slots(1_000_000, 1_000_000)

    assert len(offered(negotiator).media) < 500


def test_tracks_open_move_and_close_with_the_answers() -> None:
    negotiator = v1()
    offer = offered(negotiator)
    answer = accept(offer)
    put_track(answer, "0", "PA_a", "TR_mic", 100)
    put_track(answer, "3", "PA_a", "TR_cam", 200)
    first = take(negotiator, answer, mid0="TR_mic", mid3="TR_cam")
    assert [(t.mid, t.kind, t.track_sid) for t in first.opened] == [
        ("0", "audio", "TR_mic"),
        ("3", "video", "TR_cam"),
    ]
    assert first.opened[1] == DownlinkTrack(
        "3", "video", "PA_a", "TR_cam", 200, 201,
        ((96, "VP8"), (109, "H264"), (103, "H264")),
        ((97, 96), (114, 109), (104, 103)),
    )  # fmt: skip

    negotiator.request()
    again = accept(offered(negotiator))
    put_track(again, "0", "PA_a", "TR_mic", 100)
    put_track(again, "3", "PA_b", "TR_other", 300)
    second = take(negotiator, again, mid0="TR_mic", mid3="TR_other")
    assert [track.track_sid for track in second.closed] == ["TR_cam"]
    assert [track.track_sid for track in second.opened] == ["TR_other"]

    negotiator.request()
    third = take(negotiator, accept(offered(negotiator)))
    assert {track.track_sid for track in third.closed} == {"TR_mic", "TR_other"}
    assert third.opened == ()


def test_the_dtls_role_is_the_one_that_the_answer_leaves_us() -> None:
    for setup, role in (("passive", "client"), ("active", "server")):
        negotiator = v1()
        answer = accept(offered(negotiator))
        for media in answer.media:
            media.setup = setup
        assert take(negotiator, answer).remote.dtls_role == role


@pytest.mark.parametrize("fault", ["setup", "sections", "mids", "transport"])
def test_a_broken_answer_is_the_server_s_fault(fault: str) -> None:
    negotiator = v1()
    answer = accept(offered(negotiator))
    if fault == "sections":
        answer.media.pop()
    for media in answer.media:
        if fault == "setup":
            media.setup = "actpass"
        elif fault == "mids":
            media.mid = f"x{media.mid}"
        elif fault == "transport":
            media.fingerprints = []
    with pytest.raises(ProtocolError):
        negotiator.handle_answer(lk_rtc.SessionDescription(type="answer", sdp=answer.to_text()))


def test_a_restart_offers_new_credentials() -> None:
    negotiator = v1()
    take(negotiator, accept(offered(negotiator)))
    negotiator.restart(LocalTransport("new", "n" * 24, "AA:BB", LOCAL.candidates))

    assert {m.ice_ufrag for m in offered(negotiator).media} == {"new"}


# --- against recorded servers ----------------------------------------------------------------


def server_messages(name: str, kind: str) -> Iterator[lk_rtc.SessionDescription]:
    for record in read_vector(name):
        if record.direction == "server>client" and record.type == kind:
            yield getattr(lk_rtc.SignalResponse.FromString(record.raw), kind)


def test_recorded_answers_to_a_subscriber_open_and_close_what_really_happened() -> None:
    """Bob of the recorded call: the wheel's sections 0-6 are the ones that we offer too."""
    negotiator = v1()
    story: list[tuple[list[str], list[str]]] = []
    for answer in server_messages("python_v1_publish_subscribe.bob.jsonl", "answer"):
        negotiator.request()
        assert negotiator.next_offer() is not None
        negotiated = negotiator.handle_answer(answer)
        assert negotiated is not None
        assert negotiated.remote.dtls_role == "server"
        story.append(
            (
                [track.track_sid for track in negotiated.closed],
                [track.track_sid for track in negotiated.opened],
            )
        )

    camera, microphone = "TR_VCpeRvPbF8rRM2", "TR_AMJ9GMxv3Dyoed"
    assert story == [
        ([], [microphone, camera]),
        ([], []),
        ([camera], []),
        ([], [camera]),
        ([camera], []),
        ([], ["TR_VSack7bTtpauGD"]),
        ([microphone, "TR_VSack7bTtpauGD"], []),
    ]


@pytest.mark.parametrize(
    "name", ["python_v0_publish_subscribe.bob.jsonl", "go_v0.jsonl", "engine_v0.bob.jsonl"]
)
def test_recorded_offers_are_answered_section_by_section(name: str) -> None:
    negotiator = SubscriberNegotiator(session_id=1)
    opened: list[str] = []
    for offer in server_messages(name, "offer"):
        description, negotiated = negotiator.handle_offer(offer)
        answer = negotiator.answer(description, offer.id, LOCAL)
        opened += [track.track_sid for track in negotiated.opened]

        theirs, ours = parse_sdp(offer.sdp), parse_sdp(answer.sdp)
        assert answer.id == offer.id
        assert [(m.kind, m.mid) for m in ours.media] == [(m.kind, m.mid) for m in theirs.media]
        for their, our in zip(theirs.media, ours.media, strict=True):
            assert our.setup == "active"
            assert our.port
            if their.kind != "application":
                sends = their.direction in ("sendrecv", "sendonly")
                assert our.direction == ("recvonly" if sends else "inactive")
                numbers = {codec.payload_type for codec in their.codecs}
                assert {codec.payload_type for codec in our.codecs} <= numbers
        assert negotiated.remote.dtls_role == "client"
    assert any(sid.startswith("TR_A") for sid in opened)
    assert any(sid.startswith("TR_V") for sid in opened)


def test_our_recorded_v0_publisher_is_reproduced_offer_by_offer() -> None:
    """The by-hand run against livekit-server, again: same steps, same sections, accepted."""
    name = "engine_v0.alice.jsonl"
    recorded = [
        parse_sdp(lk_rtc.SignalRequest.FromString(record.raw).offer.sdp)
        for record in read_vector(name)
        if record.direction == "client>server" and record.type == "offer"
    ]
    cids = [
        record.json["add_track"]["cid"]
        for record in read_vector(name)
        if record.type == "add_track"
    ]
    microphone = Uplink(cids[0], "audio", "opus", (UplinkLayer("", 1, 2),), dtx=True)
    camera = Uplink(cids[1], "video", "VP8", (UplinkLayer("q", 3, 4), UplinkLayer("h", 5, 6)))
    screen = Uplink(cids[2], "video", "VP8", (UplinkLayer("", 7, 8),))
    negotiator = PublisherNegotiator(LOCAL, session_id=1)
    steps: list[Callable[[], object]] = [
        lambda: None,
        lambda: negotiator.add_uplink(microphone),
        lambda: negotiator.add_uplink(camera),
        lambda: negotiator.remove_uplink(camera.cid),
        lambda: negotiator.add_uplink(screen),
    ]
    accepted: list[list[str]] = []
    answers = list(server_messages(name, "answer"))
    assert len(answers) == len(steps) == len(recorded)
    for step, then, answer in zip(steps, recorded, answers, strict=True):
        step()
        now = offered(negotiator)
        assert [(m.kind, m.mid, m.direction) for m in now.media] == [
            (m.kind, m.mid, m.direction) for m in then.media
        ]
        assert [m.codecs for m in now.media] == [m.codecs for m in then.media]
        assert [m.extensions for m in now.media] == [m.extensions for m in then.media]
        negotiated = negotiator.handle_answer(answer)
        assert negotiated is not None
        accepted.append([parameters.cid for parameters in negotiated.uplinks])

    assert accepted == [
        [],
        [cids[0]],
        [cids[0], cids[1]],
        [cids[0]],
        [cids[0], cids[2]],
    ]


@settings(max_examples=150)
@given(st.data())
def test_a_mangled_answer_is_a_value_or_a_protocol_error(data: st.DataObject) -> None:
    lines = next(server_messages("python_v1_publish_subscribe.bob.jsonl", "answer")).sdp.split(
        "\r\n"
    )
    for _ in range(data.draw(st.integers(1, 4))):
        index = data.draw(st.integers(0, len(lines) - 1))
        if data.draw(st.booleans()):
            del lines[index]
        else:
            lines[index] = data.draw(st.text(max_size=40))
    negotiator = v1()
    negotiator.next_offer()
    with contextlib.suppress(ProtocolError):
        negotiator.handle_answer(lk_rtc.SessionDescription(type="answer", sdp="\r\n".join(lines)))
