from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit.protocol import models as lk_models
from livekit.protocol import rtc as lk_rtc

from app.protocol.errors import ProtocolError
from app.protocol.signal_client import (
    MAX_QUEUED_REQUESTS,
    Joined,
    Left,
    LossCause,
    Lost,
    Received,
    RequestFailed,
    Responded,
    Resumed,
    Send,
    SignalClient,
    TokenRefreshed,
    TrackPublished,
    parse_response,
)
from tests.support.vectors import read_vector

SERVER_SIDES = [
    "python_v1_publish_subscribe.alice.jsonl",
    "python_v1_publish_subscribe.bob.jsonl",
    "python_v0_publish_subscribe.alice.jsonl",
    "python_v0_publish_subscribe.bob.jsonl",
    "go_v0.jsonl",
    "engine_v0.alice.jsonl",
    "engine_v0.bob.jsonl",
]


def join(**fields: object) -> lk_rtc.SignalResponse:
    welcome = lk_rtc.JoinResponse(
        participant=lk_models.ParticipantInfo(sid="PA_1", identity="ada"),
        ping_interval=5,
        ping_timeout=15,
        **fields,  # type: ignore[arg-type]
    )
    return lk_rtc.SignalResponse(join=welcome)


def joined_client(now_s: float = 0.0) -> SignalClient:
    client = SignalClient(now_s)
    client.handle_message(join(), now_s)
    return client


def mute(sid: str) -> lk_rtc.SignalRequest:
    return lk_rtc.SignalRequest(mute=lk_rtc.MuteTrackRequest(sid=sid, muted=True))


@pytest.mark.parametrize("name", SERVER_SIDES)
def test_a_recorded_server_is_understood_from_join_to_leave(name: str) -> None:
    client = SignalClient(0.0)
    outputs = [
        output
        for record in read_vector(name)
        if record.kind == "signal" and record.direction == "server>client"
        for output in client.handle_message(parse_response(record.raw), record.t_ms / 1000)
    ]

    assert isinstance(outputs[0], Joined)
    assert any(isinstance(output, TokenRefreshed) for output in outputs)
    assert any(isinstance(o, Received) and o.kind == "answer" for o in outputs)
    assert not any(isinstance(output, Lost) for output in outputs)


def test_a_removed_participant_is_told_why() -> None:
    client = SignalClient(0.0)
    outputs = [
        output
        for record in read_vector("python_v1_removed_by_server.jsonl")
        if record.kind == "signal" and record.direction == "server>client"
        for output in client.handle_message(parse_response(record.raw), record.t_ms / 1000)
    ]

    left = [output for output in outputs if isinstance(output, Left)]
    assert left[0].leave.reason == lk_models.DisconnectReason.PARTICIPANT_REMOVED
    assert client.deadline_s is None


def test_requests_before_the_join_go_out_after_it_in_order() -> None:
    client = SignalClient(0.0)
    assert client.send(mute("TR_1")) == []
    assert client.send(mute("TR_2")) == []

    outputs = client.handle_message(join(), 0.1)

    assert outputs[1:] == [Send(mute("TR_1")), Send(mute("TR_2"))]
    assert client.send(mute("TR_3")) == [Send(mute("TR_3"))]


def test_the_queue_before_the_join_is_bounded() -> None:
    client = SignalClient(0.0)
    for number in range(MAX_QUEUED_REQUESTS + 10):
        client.send(mute(f"TR_{number}"))

    assert len(client.handle_message(join(), 0.1)) == 1 + MAX_QUEUED_REQUESTS


def test_a_server_that_says_nothing_at_first_is_given_up_after_five_seconds() -> None:
    client = SignalClient(10.0)

    assert client.deadline_s == 15.0
    assert client.handle_deadline(14.9) == []
    assert client.handle_deadline(15.0) == [Lost(LossCause.NO_WELCOME)]


def test_any_first_message_but_join_or_leave_breaks_the_protocol() -> None:
    with pytest.raises(ProtocolError):
        SignalClient(0.0).handle_message(lk_rtc.SignalResponse(refresh_token="x"), 0.0)
    with pytest.raises(ProtocolError):
        SignalClient(0.0).handle_message(
            lk_rtc.SignalResponse(join=lk_rtc.JoinResponse(ping_interval=5)), 0.0
        )


def test_pings_go_out_at_the_server_s_interval_and_measure_the_round_trip() -> None:
    client = joined_client(now_s=100.0)

    (first,) = client.handle_deadline(100.0)
    assert isinstance(first, Send)
    assert first.request.ping_req.timestamp == 100_000
    assert client.deadline_s == 105.0

    pong = lk_rtc.SignalResponse(pong_resp=lk_rtc.Pong(last_ping_timestamp=100_000))
    assert client.handle_message(pong, 100.25) == []
    assert client.round_trip_s == pytest.approx(0.25)


def test_silence_is_a_loss_and_any_message_breaks_it() -> None:
    client = joined_client()
    client.handle_message(lk_rtc.SignalResponse(speakers_changed=lk_rtc.SpeakersChanged()), 10.0)

    assert not any(isinstance(output, Lost) for output in client.handle_deadline(24.9))
    assert client.handle_deadline(25.0) == [Lost(LossCause.SILENT)]
    assert client.handle_deadline(26.0) == []


def test_a_server_without_ping_times_gets_sensible_ones() -> None:
    client = SignalClient(0.0)
    welcome = join()
    welcome.join.ping_interval = welcome.join.ping_timeout = 0
    client.handle_message(welcome, 0.0)

    assert len(client.handle_deadline(0.0)) == 1
    assert client.deadline_s == 5.0
    assert client.handle_deadline(15.0) == [Lost(LossCause.SILENT)]


def test_a_published_track_comes_back_under_its_cid() -> None:
    client = joined_client()
    client.add_track(lk_rtc.AddTrackRequest(cid="c1"), 0.0)
    published = lk_rtc.TrackPublishedResponse(cid="c1", track=lk_models.TrackInfo(sid="TR_1"))

    outputs = client.handle_message(lk_rtc.SignalResponse(track_published=published), 0.1)

    assert outputs == [TrackPublished("c1", published.track)]


def test_a_track_that_nobody_answers_fails_after_ten_seconds() -> None:
    client = joined_client()
    client.handle_deadline(0.0)
    client.add_track(lk_rtc.AddTrackRequest(cid="c1"), 0.0)
    client.handle_message(lk_rtc.SignalResponse(pong=1), 9.0)

    failed = [o for o in client.handle_deadline(10.0) if isinstance(o, RequestFailed)]
    assert failed == [RequestFailed("c1", None, "the server did not answer")]


def test_a_refused_track_fails_and_a_queued_one_waits() -> None:
    client = joined_client()
    request = lk_rtc.AddTrackRequest(cid="c1")
    client.add_track(request, 0.0)
    reasons = lk_rtc.RequestResponse

    queued = reasons(reason=reasons.QUEUED, add_track=request)
    assert client.handle_message(lk_rtc.SignalResponse(request_response=queued), 0.1) == []
    refused = reasons(reason=reasons.NOT_ALLOWED, message="no", add_track=request)
    assert client.handle_message(lk_rtc.SignalResponse(request_response=refused), 0.2) == [
        RequestFailed("c1", reasons.NOT_ALLOWED, "no")
    ]


def test_a_metadata_request_is_answered_by_its_number_or_times_out() -> None:
    client = joined_client()
    first, _ = client.update_metadata(lk_rtc.UpdateParticipantMetadata(name="a"), 0.0)
    second, outputs = client.update_metadata(lk_rtc.UpdateParticipantMetadata(name="b"), 0.0)
    assert isinstance(outputs[0], Send)
    assert outputs[0].request.update_metadata.request_id == second

    response = lk_rtc.RequestResponse(request_id=first, reason=lk_rtc.RequestResponse.OK)
    answered = client.handle_message(lk_rtc.SignalResponse(request_response=response), 0.1)
    assert answered == [Responded(first, lk_rtc.RequestResponse.OK, "")]
    late = [o for o in client.handle_deadline(5.0) if isinstance(o, Responded)]
    assert late == [Responded(second, None, "the server did not answer")]


def test_leaving_says_goodbye_once_and_only_after_a_join() -> None:
    assert SignalClient(0.0).leave() == []
    client = joined_client()

    (goodbye,) = client.leave()
    assert isinstance(goodbye, Send)
    assert goodbye.request.leave.reason == lk_models.DisconnectReason.CLIENT_INITIATED
    assert client.leave() == []
    assert client.handle_closed() == []


def test_a_socket_that_ends_without_leave_is_a_loss() -> None:
    assert joined_client().handle_closed() == [Lost(LossCause.CLOSED)]


def test_an_unknown_variant_is_skipped() -> None:
    client = joined_client()
    # Field 200 of a message from the future.
    response = lk_rtc.SignalResponse.FromString(b"\xc2\x0c\x02hi")

    assert client.handle_message(response, 0.1) == []


@given(st.binary(max_size=200))
def test_any_frame_is_a_message_or_a_protocol_error(frame: bytes) -> None:
    try:
        response = parse_response(frame)
    except ProtocolError:
        return
    client = joined_client()
    client.handle_message(response, 1.0)


RECONNECT = lk_rtc.SignalResponse(reconnect=lk_rtc.ReconnectResponse(last_message_seq=7))
OFFER = lk_rtc.SignalRequest(offer=lk_rtc.SessionDescription(type="offer"))


def test_requests_wait_for_the_end_of_a_resume_except_those_that_it_consists_of() -> None:
    client = joined_client()
    assert client.handle_closed() == [Lost(LossCause.CLOSED)]
    assert client.send(mute("TR_1")) == []
    assert client.send(OFFER) == []
    client.resume(1.0, [mute("TR_0"), OFFER])
    assert client.send(mute("TR_2")) == []

    assert client.handle_message(RECONNECT, 1.1) == [Resumed(RECONNECT.reconnect)]
    assert client.is_live
    assert not client.is_joined
    assert client.send(OFFER) == [Send(OFFER)]
    assert client.send(mute("TR_3")) == []
    assert client.release() == [Send(mute(f"TR_{number}")) for number in range(4)]
    assert client.is_joined
    assert client.release() == []


def test_a_resume_without_an_answer_may_be_tried_again() -> None:
    client = joined_client()
    client.handle_closed()
    client.resume(1.0)
    assert client.deadline_s == 6.0
    assert client.handle_deadline(6.0) == [Lost(LossCause.NO_WELCOME)]
    assert client.handle_message(RECONNECT, 6.1) == []
    client.resume(7.0)
    assert client.handle_message(RECONNECT, 7.1) == [Resumed(RECONNECT.reconnect)]


def test_a_leave_in_place_of_the_reconnect_refuses_the_resume() -> None:
    client = joined_client()
    client.handle_closed()
    client.resume(1.0)
    leave = lk_rtc.LeaveRequest(action=lk_rtc.LeaveRequest.RECONNECT)
    assert client.handle_message(lk_rtc.SignalResponse(leave=leave), 1.1) == [Left(leave)]
    client.resume(2.0)
    assert client.handle_message(RECONNECT, 2.1) == []


def test_anything_else_in_place_of_the_reconnect_is_a_broken_server() -> None:
    client = joined_client()
    client.handle_closed()
    client.resume(1.0)
    with pytest.raises(ProtocolError):
        client.handle_message(join(), 1.1)


def test_after_a_leave_that_wants_a_resume_the_session_goes_on() -> None:
    client = joined_client()
    leave = lk_rtc.LeaveRequest(action=lk_rtc.LeaveRequest.RESUME)
    assert client.handle_message(lk_rtc.SignalResponse(leave=leave), 1.0) == [Left(leave)]
    assert client.send(mute("TR_1")) == []
    client.resume(1.0)
    client.handle_message(RECONNECT, 1.1)
    assert client.release() == [Send(mute("TR_1"))]


def test_a_track_announced_before_the_loss_is_answered_after_the_resume_or_times_out() -> None:
    client = joined_client()
    client.add_track(lk_rtc.AddTrackRequest(cid="a"), 0.0)
    client.add_track(lk_rtc.AddTrackRequest(cid="b"), 0.0)
    client.handle_closed()
    client.resume(1.0)
    client.handle_message(RECONNECT, 1.1)
    track = lk_models.TrackInfo(sid="TR_1")
    published = lk_rtc.SignalResponse(
        track_published=lk_rtc.TrackPublishedResponse(cid="a", track=track)
    )
    assert client.handle_message(published, 1.2) == [TrackPublished("a", track)]
    assert client.handle_message(published, 1.2) == [TrackPublished("a", track)]
    failed = [o for o in client.handle_deadline(10.0) if isinstance(o, RequestFailed)]
    assert [output.cid for output in failed] == ["b"]


def test_a_recorded_resume_is_understood() -> None:
    records = read_vector("python_v1_resume.jsonl")
    down = [r for r in records if r.kind == "signal" and r.direction == "server>client"]
    client = SignalClient(0.0)
    outputs = []
    for record in down:
        if record.type == "reconnect":
            assert client.handle_closed() == [Lost(LossCause.CLOSED)]
            client.resume(record.t_ms / 1000)
        outputs += client.handle_message(parse_response(record.raw), record.t_ms / 1000)
    assert [type(o) for o in outputs if isinstance(o, Joined | Resumed)] == [Joined, Resumed]
    resumed = next(index for index, o in enumerate(outputs) if isinstance(o, Resumed))
    kinds = [o.kind for o in outputs[resumed:] if isinstance(o, Received)]
    assert kinds[:3] == ["update", "room_update", "answer"]
    assert isinstance(outputs[resumed + 3], TokenRefreshed)


def test_too_many_requests_while_away_are_dropped_not_kept() -> None:
    client = joined_client()
    client.handle_closed()
    for number in range(MAX_QUEUED_REQUESTS + 5):
        client.send(mute(f"TR_{number}"))
    client.resume(1.0)
    client.handle_message(RECONNECT, 1.1)
    assert len(client.release()) == MAX_QUEUED_REQUESTS
