"""The room's model follows the session's facts, and tells them by the SDK's events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit.protocol import models as lk
from livekit.protocol import rtc as lk_rtc

from app.engine import room as room_module
from app.engine import room_types, rtc
from app.protocol.streams.splitter import StreamDescription, TextSplitter
from app.runtime.errors import Reason, WorldError
from tests.support.fake_session import (
    FakeAudioReceiver,
    FakeSession,
    FakeVideoReceiver,
    person,
    track_info,
)

EVENTS = room_types.EventTypes.__args__  # type: ignore[attr-defined]


class Recorded:
    """A joined room and what it emitted, as (event, arguments)."""

    def __init__(self) -> None:
        self.room = rtc.Room()
        self.events: list[tuple[str, tuple[Any, ...]]] = []
        for name in EVENTS:
            self.room.on(name, lambda *args, name=name: self.events.append((name, args)))

    @property
    def session(self) -> FakeSession:
        return FakeSession.last

    def names(self) -> list[str]:
        return [name for name, _ in self.events]

    def take(self) -> list[tuple[str, tuple[Any, ...]]]:
        taken, self.events = self.events, []
        return taken


@pytest.fixture
async def joined(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Recorded]:
    monkeypatch.setattr(room_module, "Session", FakeSession)
    monkeypatch.setattr(FakeSession, "people", [person("anna", track_info("TR_a"))])
    monkeypatch.setattr(FakeSession, "refuse", None)
    recorded = Recorded()
    await recorded.room.connect("ws://server", "token")
    await asyncio.sleep(0)
    recorded.take()
    yield recorded
    await recorded.room.disconnect()


async def test_people_already_there_are_known_without_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room_module, "Session", FakeSession)
    monkeypatch.setattr(FakeSession, "people", [person("anna", track_info("TR_a"))])
    recorded = Recorded()

    await recorded.room.connect("ws://server", "token")

    assert list(recorded.room.remote_participants) == ["anna"]
    assert list(recorded.room.remote_participants["anna"].track_publications) == ["TR_a"]
    assert recorded.room.local_participant.identity == "me"
    assert recorded.room.isconnected()
    assert await recorded.room.sid == "RM_1"
    assert recorded.room.name == "room"
    assert recorded.room.creation_time.year == 2023
    assert recorded.events == []
    await asyncio.sleep(0)
    assert recorded.names() == ["connection_state_changed", "connected"]
    await recorded.room.disconnect()


async def test_what_happens_during_connect_is_told_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Busy(FakeSession):
        async def connect(self, *args: Any, **kwargs: Any) -> lk_rtc.JoinResponse:
            join = await super().connect(*args, **kwargs)
            self.observer.on_update([person("bert", track_info("TR_b"))])
            return join

    monkeypatch.setattr(room_module, "Session", Busy)
    recorded = Recorded()
    await recorded.room.connect("ws://server", "token")

    late: list[str] = []
    recorded.room.on("track_published", lambda publication: late.append(publication.sid))
    await asyncio.sleep(0)

    assert late == ["TR_b"]
    assert recorded.names()[:3] == [
        "participant_connected",
        "track_published",
        "participant_active",
    ]
    await recorded.room.disconnect()


async def test_a_refused_join_raises_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_module, "Session", FakeSession)
    monkeypatch.setattr(FakeSession, "refuse", WorldError(Reason.EXPIRED))
    room = rtc.Room()

    with pytest.raises(rtc.ConnectError) as raised:
        await room.connect("ws://server", "token")

    assert isinstance(raised.value.__cause__, WorldError)
    assert raised.value.__cause__.reason is Reason.EXPIRED
    assert not room.isconnected()


async def test_somebody_comes_publishes_changes_and_goes(joined: Recorded) -> None:
    joined.session.observer.on_update([person("bert", version=1)])
    bert = joined.room.remote_participants["bert"]
    assert joined.names() == ["participant_connected", "participant_active"]
    joined.take()

    changed = person(
        "bert", track_info("TR_b"), version=2, name="Bert", metadata="x", attributes={"k": "v"}
    )
    joined.session.observer.on_update([changed])
    assert joined.take() == [
        ("participant_name_changed", (bert, "", "Bert")),
        ("participant_metadata_changed", (bert, "", "x")),
        ("participant_attributes_changed", ({"k": "v"}, bert)),
        ("track_published", (bert.track_publications["TR_b"], bert)),
    ]

    muted = person("bert", track_info("TR_b", muted=True), version=3, name="Bert", metadata="x")
    joined.session.observer.on_update([muted])
    assert joined.take() == [
        ("participant_attributes_changed", ({"k": ""}, bert)),
        ("track_muted", (bert, bert.track_publications["TR_b"])),
    ]

    gone = person(
        "bert",
        version=4,
        state=lk.ParticipantInfo.DISCONNECTED,
        disconnect_reason=lk.DisconnectReason.PARTICIPANT_REMOVED,
    )
    joined.session.observer.on_update([gone])
    assert joined.names() == ["track_unpublished", "participant_disconnected"]
    assert bert.disconnect_reason == rtc.DisconnectReason.PARTICIPANT_REMOVED
    assert "bert" not in joined.room.remote_participants


async def test_an_older_description_is_ignored(joined: Recorded) -> None:
    joined.session.observer.on_update([person("anna", track_info("TR_a"), version=5, name="new")])
    joined.take()

    joined.session.observer.on_update([person("anna", version=4, name="old")])

    assert joined.events == []
    assert joined.room.remote_participants["anna"].name == "new"


async def test_a_known_identity_with_a_new_sid_left_and_came(joined: Recorded) -> None:
    joined.session.observer.on_update([person("anna", sid="PA_again")])

    assert joined.names() == [
        "track_unpublished",
        "participant_disconnected",
        "participant_connected",
        "participant_active",
    ]
    joined.take()
    late = person("anna", sid="PA_anna", version=9, state=lk.ParticipantInfo.DISCONNECTED)
    joined.session.observer.on_update([late])
    assert joined.events == []


async def test_media_comes_and_goes_with_its_subscription(joined: Recorded) -> None:
    receiver = FakeAudioReceiver()
    joined.session.observer.on_track("PA_anna", "TR_a", receiver)
    anna = joined.room.remote_participants["anna"]
    publication = anna.track_publications["TR_a"]
    track = publication.track
    assert isinstance(track, rtc.RemoteAudioTrack)
    assert joined.take() == [("track_subscribed", (track, publication, anna))]
    assert publication.subscribed

    joined.session.observer.on_track_removed("TR_a")
    assert joined.take() == [("track_unsubscribed", (track, publication, anna))]
    assert publication.track is None
    assert track.ended


async def test_a_stream_ends_when_its_participant_leaves(joined: Recorded) -> None:
    joined.session.observer.on_update(
        [person("anna", track_info("TR_v", video=True, mime_type="video/VP8"), version=2)]
    )
    receiver = FakeVideoReceiver()
    joined.session.observer.on_track("PA_anna", "TR_v", receiver)
    anna = joined.room.remote_participants["anna"]
    track = anna.track_publications["TR_v"].track
    assert isinstance(track, rtc.RemoteVideoTrack)
    streams = [
        rtc.VideoStream(track),
        rtc.VideoStream.from_participant(
            participant=anna, track_source=rtc.TrackSource.SOURCE_CAMERA
        ),
    ]
    assert receiver.keyframe_requests >= 1

    joined.session.observer.on_update(
        [person("anna", version=3, state=lk.ParticipantInfo.DISCONNECTED)]
    )

    for stream in streams:
        assert [event async for event in stream] == []


async def test_speakers_are_told_loudest_first_and_silence_as_an_empty_list(
    joined: Recorded,
) -> None:
    anna, me = joined.room.remote_participants["anna"], joined.room.local_participant
    on_speakers = joined.session.observer.on_speakers
    on_speakers([lk.SpeakerInfo(sid="PA_anna", level=0.25, active=True)])
    on_speakers([lk.SpeakerInfo(sid="PA_me", level=0.75, active=True)])
    assert anna.is_speaking
    on_speakers([lk.SpeakerInfo(sid=s, active=False) for s in ("PA_me", "PA_anna")])

    assert [args[0] for _, args in joined.take()] == [[anna], [me, anna], []]
    assert not anna.is_speaking


async def test_quality_pauses_and_the_room_itself_are_followed(joined: Recorded) -> None:
    observer = joined.session.observer
    joined.session.observer.on_track("PA_anna", "TR_a", FakeAudioReceiver())
    anna = joined.room.remote_participants["anna"]
    joined.take()

    observer.on_quality(
        [lk_rtc.ConnectionQualityInfo(participant_sid="PA_anna", quality=lk.ConnectionQuality.POOR)]
    )
    observer.on_stream_states(
        [lk_rtc.StreamStateInfo(track_sid="TR_a", state=lk_rtc.StreamState.PAUSED)]
    )
    observer.on_room_update(lk.Room(sid="RM_1", name="room", metadata="n", num_participants=2))
    observer.on_token_refreshed("newer")

    assert joined.take() == [
        ("connection_quality_changed", (anna, rtc.ConnectionQuality.QUALITY_POOR)),
        ("room_metadata_changed", ("m", "n")),
        ("room_updated", ()),
        ("token_refreshed", ()),
    ]
    track = anna.track_publications["TR_a"].track
    assert track is not None
    assert track.stream_state == rtc.StreamState.STATE_PAUSED
    assert joined.room.num_participants == 2


async def test_packets_reach_whom_they_concern(joined: Recorded) -> None:
    anna = joined.room.remote_participants["anna"]
    on_data = joined.session.observer.on_data
    on_data(
        lk.DataPacket(user=lk.UserPacket(payload=b"x", topic="t"), participant_identity="anna"),
        False,
    )
    on_data(
        lk.DataPacket(sip_dtmf=lk.SipDTMF(code=1, digit="1"), participant_identity="anna"), True
    )
    on_data(
        lk.DataPacket(
            transcription=lk.Transcription(
                transcribed_participant_identity="anna",
                track_id="TR_a",
                segments=[lk.TranscriptionSegment(id="s", text="hi", final=True)],
            )
        ),
        True,
    )
    on_data(lk.DataPacket(user=lk.UserPacket(payload=b"server")), True)
    on_data(lk.DataPacket(), True)

    (data, dtmf, transcription, from_server) = joined.take()
    assert data[1][0] == rtc.DataPacket(b"x", rtc.DataPacketKind.KIND_LOSSY, anna, "t")
    assert dtmf == ("sip_dtmf_received", (rtc.SipDTMF(1, "1", anna),))
    segments, who, publication = transcription[1]
    assert (segments[0].text, who, publication) == ("hi", anna, anna.track_publications["TR_a"])
    assert from_server[1][0].participant is None


def text_packets(text: str, *, sender: str = "anna", topic: str = "t") -> list[lk.DataPacket]:
    splitter = TextSplitter(
        StreamDescription("s1", topic, 1, "text/plain", len(text.encode()), sender_identity=sender)
    )
    return [splitter.open(), *splitter.write(text), splitter.close(attributes={"k": "v"})]


async def test_a_text_reaches_its_handler_and_others_are_ignored(joined: Recorded) -> None:
    got: list[tuple[rtc.TextStreamReader, str]] = []
    joined.room.register_text_stream_handler("t", lambda reader, who: got.append((reader, who)))
    for packet in [*text_packets("hello"), *text_packets("nobody", topic="u")]:
        joined.session.observer.on_data(packet, True)

    ((reader, who),) = got
    assert who == "anna"
    assert await reader.read_all() == "hello"
    assert reader.info.attributes == {"k": "v"}
    with pytest.raises(ValueError, match="already set"):
        joined.room.register_text_stream_handler("t", lambda reader, who: None)
    joined.room.unregister_text_stream_handler("t")
    joined.room.register_text_stream_handler("t", lambda reader, who: None)


@pytest.mark.parametrize("end", ["sender leaves", "room ends"])
async def test_a_reader_gets_what_arrived_and_then_the_error(joined: Recorded, end: str) -> None:
    got: list[rtc.TextStreamReader] = []
    joined.room.register_text_stream_handler("t", lambda reader, who: got.append(reader))
    for packet in text_packets("hello")[:2]:
        joined.session.observer.on_data(packet, True)

    if end == "sender leaves":
        gone = person("anna", version=2, state=lk.ParticipantInfo.DISCONNECTED)
        joined.session.observer.on_update([gone])
    else:
        await joined.room.disconnect()

    assert await anext(got[0]) == "hello"
    with pytest.raises(rtc.StreamError):
        await anext(got[0])


async def test_a_lost_session_ends_the_room_with_its_reason(joined: Recorded) -> None:
    joined.session.observer.on_disconnected(lk.DisconnectReason.ROOM_DELETED, "")

    assert joined.take() == [
        ("connection_state_changed", (rtc.ConnectionState.CONN_DISCONNECTED,)),
        ("disconnected", (rtc.DisconnectReason.ROOM_DELETED,)),
    ]
    assert not joined.room.isconnected()


async def test_a_rejoin_keeps_who_stayed_and_repeats_requests(joined: Recorded) -> None:
    observer, session = joined.session.observer, joined.session
    observer.on_update([person("bert")])
    anna = joined.room.remote_participants["anna"]
    anna.track_publications["TR_a"].set_subscribed(False)
    joined.take()
    session.requests.clear()

    observer.on_reconnecting()
    observer.on_joined(session.join(person("anna", track_info("TR_a")), me="PA_me2"), again=True)
    observer.on_reconnected()

    assert joined.names() == [
        "connection_state_changed",
        "reconnecting",
        "participant_disconnected",
        "connection_state_changed",
        "reconnected",
    ]
    assert joined.room.remote_participants == {"anna": anna}
    assert joined.room.local_participant.sid == "PA_me2"
    assert session.requests == [("subscribed", "PA_anna", ("TR_a",), False)]


async def test_choosing_layers_is_checked_and_passed_on(joined: Recorded) -> None:
    layers = [lk.VideoLayer(quality=quality) for quality in (0, 1)]  # type: ignore[arg-type]
    joined.session.observer.on_update(
        [
            person(
                "anna",
                track_info("TR_a"),
                track_info("TR_v", video=True, layers=layers),
                track_info("TR_s", video=True),
                version=2,
            )
        ]
    )
    publications = joined.room.remote_participants["anna"].track_publications

    publications["TR_v"].set_video_quality(rtc.VideoQuality.VIDEO_QUALITY_LOW)
    publications["TR_v"].set_video_dimension(320, 180)
    for sid in ("TR_a", "TR_s"):
        with pytest.raises(ValueError, match=sid):
            publications[sid].set_video_quality(rtc.VideoQuality.VIDEO_QUALITY_LOW)

    assert [request[0] for request in joined.session.requests] == ["settings", "settings"]
    assert joined.session.requests[0][2]["quality"] == lk.VideoQuality.LOW
    assert joined.session.requests[1][2]["width"] == 320


async def test_a_handler_that_fails_does_not_end_the_room(joined: Recorded) -> None:
    import structlog.testing

    def fail(_: object) -> None:
        raise RuntimeError("the script's fault")

    joined.room.on("participant_connected", fail)
    with structlog.testing.capture_logs() as logs:
        joined.session.observer.on_update([person("bert")])

    assert "bert" in joined.room.remote_participants
    assert [entry["event"] for entry in logs] == ["event handler failed"]


async def test_a_room_can_be_joined_again(joined: Recorded) -> None:
    await joined.room.disconnect()
    await joined.room.connect("ws://server", "token")

    assert joined.room.isconnected()
    assert list(joined.room.remote_participants) == ["anna"]


async def test_stats_have_the_shape_of_the_sdks(joined: Recorded) -> None:
    stats = await joined.room.get_rtc_stats()

    assert stats.publisher_stats[0].WhichOneof("stats") == "transport"
    assert stats.publisher_stats[0].HasField("transport")
    await joined.room.disconnect()
    with pytest.raises(RuntimeError):
        await joined.room.get_rtc_stats()


async def test_encryption_is_refused_by_name() -> None:
    with pytest.raises(NotImplementedError, match="end-to-end encryption"):
        await rtc.Room().connect("ws://s", "t", rtc.RoomOptions(encryption=rtc.E2EEOptions()))


class Told(rtc.FrameProcessor[rtc.AudioFrame]):
    """Keeps what it is told about its frames."""

    def __init__(self) -> None:
        self.log: list[tuple[str, ...]] = []

    @property
    def enabled(self) -> bool:
        return True

    @enabled.setter
    def enabled(self, value: bool) -> None:
        raise NotImplementedError

    def _on_stream_info_updated(
        self, *, room_name: str, participant_identity: str, publication_sid: str
    ) -> None:
        self.log.append((room_name, participant_identity, publication_sid))

    def _on_stream_info_cleared(self) -> None:
        self.log.append(("cleared",))

    def _on_credentials_updated(self, *, token: str, url: str) -> None:
        self.log.append((token, url))

    def _process(self, frame: rtc.AudioFrame) -> rtc.AudioFrame:
        return frame

    def _close(self) -> None:
        self.log.append(("closed",))


async def test_a_frame_processor_learns_whose_frames_it_gets(joined: Recorded) -> None:
    observer = joined.session.observer
    observer.on_track("PA_anna", "TR_a", FakeAudioReceiver())
    track = joined.room.remote_participants["anna"].track_publications["TR_a"].track
    assert track is not None
    processor = Told()
    stream = rtc.AudioStream(track, noise_cancellation=processor)

    observer.on_token_refreshed("newer")
    observer.on_track_removed("TR_a")
    await stream.aclose()

    about = ("room", "anna", "TR_a")
    credentials = ("token", "ws://server")
    assert processor.log == [
        about,
        credentials,
        about,
        ("newer", "ws://server"),
        ("cleared",),
        ("closed",),
    ]


async def test_with_dynacast_only_watched_layers_are_encoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room_module, "Session", FakeSession)
    monkeypatch.setattr(FakeSession, "people", [])
    room = rtc.Room()
    await room.connect("ws://server", "token", rtc.RoomOptions(dynacast=True))
    track = rtc.LocalVideoTrack.create_video_track("cam", rtc.VideoSource(1280, 720))
    publication = await room.local_participant.publish_track(track)
    enabled: list[tuple[int, bool]] = []
    assert track.uplink is not None
    monkeypatch.setattr(track.uplink, "set_layer_enabled", lambda *args: enabled.append(args))

    FakeSession.last.observer.on_subscribed_quality(
        lk_rtc.SubscribedQualityUpdate(
            track_sid=publication.sid,
            subscribed_qualities=[
                lk_rtc.SubscribedQuality(quality=quality, enabled=quality == lk.VideoQuality.LOW)
                for quality in (lk.VideoQuality.LOW, lk.VideoQuality.MEDIUM, lk.VideoQuality.HIGH)
            ],
        )
    )
    await room.disconnect()

    assert enabled == [(0, True), (1, False), (2, False)]
    assert FakeSession.last.options is not None
    assert FakeSession.last.options.dynacast


@pytest.mark.parametrize(
    "config",
    [
        rtc.RtcConfiguration(ice_transport_type=rtc.IceTransportType.TRANSPORT_RELAY),
        rtc.RtcConfiguration(ice_servers=[rtc.IceServer(urls=["stun:example.org"])]),
    ],
)
async def test_connections_that_cannot_be_made_as_asked_are_refused(
    config: rtc.RtcConfiguration,
) -> None:
    with pytest.raises(NotImplementedError):
        await rtc.Room().connect("ws://s", "t", rtc.RoomOptions(rtc_config=config))


identities = st.sampled_from(["me", "anna", "bert", ""])
sids = st.sampled_from(["PA_me", "PA_anna", "PA_1", "PA_2", ""])
tracks = st.lists(
    st.builds(
        lk.TrackInfo,
        sid=st.sampled_from(["TR_a", "TR_b", ""]),
        type=st.integers(0, 5),
        source=st.integers(0, 9),
        muted=st.booleans(),
        mime_type=st.text(max_size=5),
    ),
    max_size=3,
)
infos = st.builds(
    lk.ParticipantInfo,
    sid=sids,
    identity=identities,
    state=st.integers(0, 5),
    version=st.integers(0, 3),
    tracks=tracks,
    kind=st.integers(0, 20),
    disconnect_reason=st.integers(0, 40),
    attributes=st.dictionaries(st.text(max_size=2), st.text(max_size=2), max_size=2),
)
packets = st.one_of(
    st.builds(
        lambda identity, request: lk.DataPacket(
            participant_identity=identity, rpc_response=lk.RpcResponse(request_id=request)
        ),
        identities,
        st.text(max_size=3),
    ),
    st.builds(
        lambda identity, track: lk.DataPacket(
            transcription=lk.Transcription(
                transcribed_participant_identity=identity, track_id=track
            )
        ),
        identities,
        st.text(max_size=3),
    ),
    st.builds(
        lambda identity, stream: lk.DataPacket(
            participant_identity=identity, stream_header=lk.DataStream.Header(stream_id=stream)
        ),
        identities,
        st.text(max_size=1),
    ),
    st.builds(
        lambda identity, payload: lk.DataPacket(
            participant_identity=identity, user=lk.UserPacket(payload=payload)
        ),
        identities,
        st.binary(max_size=4),
    ),
)
speakers = st.builds(
    lk.SpeakerInfo, sid=sids, level=st.floats(0, 1, width=32), active=st.booleans()
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("update"), st.lists(infos, max_size=3)),
        st.tuples(st.just("joined"), st.lists(infos, max_size=3)),
        st.tuples(st.just("data"), packets),
        st.tuples(st.just("speakers"), st.lists(speakers, max_size=3)),
        st.tuples(st.just("track"), sids),
        st.tuples(st.just("removed"), st.sampled_from(["TR_a", "TR_b", "TR_none"])),
    ),
    max_size=12,
)


@given(steps)
async def test_no_order_of_facts_makes_the_room_raise(facts: list[tuple[str, Any]]) -> None:
    import structlog.testing

    with pytest.MonkeyPatch.context() as patch, structlog.testing.capture_logs() as logs:
        patch.setattr(room_module, "Session", FakeSession)
        patch.setattr(FakeSession, "people", [person("anna", track_info("TR_a"))])
        room = rtc.Room()
        await room.connect("ws://server", "token")
        observer, session = FakeSession.last.observer, FakeSession.last
        for kind, value in facts:
            match kind:
                case "update":
                    observer.on_update(value)
                case "joined":
                    observer.on_joined(session.join(*value), again=True)
                case "data":
                    observer.on_data(value, True)
                case "speakers":
                    observer.on_speakers(value)
                case "track":
                    observer.on_track(value, "TR_a", FakeAudioReceiver())
                case _:
                    observer.on_track_removed(value)
            for identity, participant in room.remote_participants.items():
                assert participant.identity == identity != room.local_participant.identity
                assert str(participant.kind)
                assert str(participant.disconnect_reason)
                for publication in participant.track_publications.values():
                    assert str(publication.kind)
                    assert str(publication.source)
                    assert publication.subscribed == (publication.track is not None)
        await room.disconnect()
    assert "event handler failed" not in {entry["event"] for entry in logs}
