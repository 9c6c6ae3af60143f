"""The other end of an agent, over a real server: captions, sound from before, session messages.

The agent here is a room of our own engine with an agent's token, so that it can also misbehave.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator
from pathlib import Path

import av
import numpy as np
import pytest
from livekit.protocol import models
from livekit.protocol.agent_pb import agent_session as messages
from structlog.testing import capture_logs

from app.engine import preconnect, rtc
from app.engine.agent_control import SESSION_TOPIC, AgentControl, AgentControlError
from app.engine.agent_state import NEVER_JOINED, AgentState
from app.engine.agents import AgentError, AgentSession
from app.engine.client import JoinSpec
from app.engine.events import CaptionsChanged, PersonChanged
from app.engine.preconnect import (
    PRE_CONNECT_TOPIC,
    PreConnectBuffer,
    PreConnectReceiver,
    PreConnectSender,
)
from app.protocol.token import VideoGrant, issue_token
from app.runtime.tasks import TaskOwner
from app.server.service import SfuService
from tests.support.meeting import attending
from tests.support.session_room import KEY, SECRET, serving, token
from tests.support.signals import tone_peak

DEADLINE_S = 30.0


@pytest.fixture
async def service() -> AsyncIterator[SfuService]:
    async with serving() as service:
        yield service


@pytest.fixture
async def agent(service: SfuService) -> AsyncIterator[rtc.Room]:
    grant = VideoGrant(room_join=True, room="room", agent=True, can_update_own_metadata=True)
    signed = issue_token(
        api_key=KEY,
        api_secret=SECRET,
        identity="robot",
        name="Orchid",
        kind="agent",
        now_s=time.time(),
        ttl_s=600,
        grant=grant,
        attributes={"lk.agent.state": "listening"},
    )
    room = rtc.Room()
    await room.connect(service.url, signed)
    yield room
    await room.disconnect()


@pytest.fixture
async def person(service: SfuService, agent: rtc.Room) -> AsyncIterator[rtc.Room]:
    room = rtc.Room()
    await room.connect(service.url, token("ada"))
    yield room
    await room.disconnect()


async def say(agent: rtc.Room, text: str, segment: str, *, of: str = "") -> None:
    writer = await agent.local_participant.stream_text(
        topic="lk.transcription",
        sender_identity=of or None,
        attributes={"lk.segment_id": segment, "lk.transcription_final": "false"},
    )
    for word in text.split(" "):
        await writer.write(f"{word} ")
    await writer.aclose(attributes={"lk.transcription_final": "true"})


async def test_a_meeting_shows_what_is_said_once_and_by_whom(
    service: SfuService, agent: rtc.Room, tmp_path: Path
) -> None:
    async with attending(tmp_path) as ada:
        spec = JoinSpec(name="Ada", server_url=service.url, token=token("ada"), room="room")
        await ada.join(spec)
        segments = [rtc.TranscriptionSegment("twin", "Hello there", 0, 0, "en", True)]
        await agent.local_participant.publish_transcription(
            rtc.Transcription("robot", "TR_1", segments)
        )
        await say(agent, "Hello there", "SG_1")
        await say(agent, "hi", "SG_2", of="ada")

        changed = await ada.wait(
            CaptionsChanged,
            lambda event: (
                len([c for c in event.captions if c.is_final]) == 2
                and event.captions[-1].identity == "ada"
            ),
        )
        assert [(c.name, c.text.strip()) for c in changed.captions] == [
            ("Orchid", "Hello there"),
            ("ada", "hi"),
        ]
        await agent.local_participant.set_attributes({"lk.agent.state": "thinking"})
        news = await ada.wait(PersonChanged, lambda e: e.person.agent_state == "thinking")
        assert news.person.is_agent


async def test_what_was_said_before_reaches_the_agent_and_stops_when_the_track_is_heard(
    agent: rtc.Room, person: rtc.Room
) -> None:
    receiver = PreConnectReceiver(agent)
    source = rtc.AudioSource(48_000, 1)
    buffer = PreConnectBuffer(source)
    buffer.start()
    at = np.arange(24_000)
    wave = (8_000 * np.sin(2 * np.pi * 440 / 48_000 * at)).astype(np.int16)
    await source.capture_frame(rtc.AudioFrame(wave.tobytes(), 48_000, 1, len(wave)))
    await source.wait_for_playout()
    owner = TaskOwner("test")
    try:
        track = rtc.LocalAudioTrack.create_audio_track("mic", source)
        options = rtc.TrackPublishOptions(
            source=rtc.TrackSource.SOURCE_MICROPHONE, preconnect_buffer=True
        )
        publication = await person.local_participant.publish_track(track, options)
        async with asyncio.timeout(DEADLINE_S):
            assert await PreConnectSender(person, buffer, owner).run(publication)
        frames = await receiver.wait_for_data(publication.sid, timeout_s=DEADLINE_S)
        assert frames[0].sample_rate == 24_000
        pcm = np.concatenate([np.frombuffer(frame.data, np.int16) for frame in frames])
        assert 0.3 < len(pcm) / 24_000 < 2.0
        loud = pcm[2_400:9_600].astype(float)
        peak_hz = np.argmax(np.abs(np.fft.rfft(loud, 24_000)))
        assert peak_hz == pytest.approx(440, abs=5)
        features = agent.remote_participants["ada"].track_publications[publication.sid]
        assert 6 in features.audio_features
    finally:
        await owner.close()
        await receiver.aclose()
        await source.aclose()


async def test_an_agent_that_does_not_listen_gets_no_microphone_instead(
    agent: rtc.Room, person: rtc.Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preconnect, "HEARD_TIMEOUT_S", 0.2)
    receiver = PreConnectReceiver(agent)
    source = rtc.AudioSource(48_000, 1)
    buffer = PreConnectBuffer(source)
    buffer.start()
    owner = TaskOwner("test")
    track = rtc.LocalAudioTrack.create_audio_track("mic", source)
    publication = rtc.LocalTrackPublication(models.TrackInfo(sid="TR_unheard"))
    publication.attach_track(track)
    try:
        async with asyncio.timeout(DEADLINE_S):
            assert await PreConnectSender(person, buffer, owner).run(publication)
            await receiver.wait_for_data("TR_unheard", timeout_s=DEADLINE_S)
    finally:
        await owner.close()
        await receiver.aclose()
        await source.aclose()


def webm(freq_hz: float, seconds: float) -> bytes:
    """What a browser's recorder makes."""
    target = io.BytesIO()
    at = np.arange(int(48_000 * seconds))
    wave = (8_000 * np.sin(2 * np.pi * freq_hz / 48_000 * at)).astype(np.int16)
    with av.open(target, "w", format="webm") as container:
        stream = container.add_stream("libopus", rate=48_000, layout="mono")
        for start in range(0, len(wave), 960):
            frame = av.AudioFrame.from_ndarray(
                wave[start : start + 960].reshape(1, -1), format="s16", layout="mono"
            )
            frame.sample_rate, frame.pts = 48_000, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target.getvalue()


async def send_sound(
    person: rtc.Room, data: bytes, track_sid: str, mime_type: str = "audio/webm;codecs=opus"
) -> None:
    writer = await person.local_participant.stream_bytes(
        "preconnect-buffer",
        topic=PRE_CONNECT_TOPIC,
        mime_type=mime_type,
        attributes={"trackId": track_sid, "sampleRate": "48000", "channels": "1"},
    )
    await writer.write(data)
    await writer.aclose()


async def test_a_browsers_opus_is_read_and_damage_costs_one_line(
    agent: rtc.Room, person: rtc.Room
) -> None:
    receiver = PreConnectReceiver(agent)
    with capture_logs() as lines:
        await send_sound(person, b"\x1a\x45\xdf\xa3" + b"nonsense" * 50, "TR_bad")
        await send_sound(person, webm(440.0, 1.5), "TR_good")
        frames = await receiver.wait_for_data("TR_good", timeout_s=DEADLINE_S)
        assert await receiver.wait_for_data("TR_bad", timeout_s=0.05) == []
    pcm = np.concatenate([np.frombuffer(frame.data, np.int16) for frame in frames])
    assert tone_peak(pcm[12_000:60_000]).freq_hz == pytest.approx(440, abs=5)
    dropped = [line for line in lines if line["log_level"] == "warning"]
    assert [line["event"] for line in dropped] == ["sound from before the connection was dropped"]
    await receiver.aclose()


async def test_a_question_to_an_agent_is_answered_past_garbage(
    agent: rtc.Room, person: rtc.Room
) -> None:
    asked: asyncio.Queue[messages.AgentSessionMessage] = asyncio.Queue()
    tasks = TaskOwner("test")

    def on_bytes(reader: rtc.ByteStreamReader, _identity: str) -> None:
        async def read() -> None:
            message = messages.AgentSessionMessage()
            message.ParseFromString(b"".join([chunk async for chunk in reader]))
            asked.put_nowait(message)

        tasks.spawn(read(), name="read")

    agent.register_byte_stream_handler(SESSION_TOPIC, on_bytes)
    events: list[messages.AgentSessionEvent] = []
    control = AgentControl(person, "robot", events.append)
    with capture_logs() as lines:
        pinging = asyncio.ensure_future(control.request(ping={}, timeout_s=DEADLINE_S))
        request = (await asked.get()).request
        state = messages.AgentSessionEvent()
        state.agent_state_changed.SetInParent()
        unknown = messages.SessionResponse(request_id="nobody asked", pong={})
        answer = messages.SessionResponse(request_id=request.request_id, pong={})
        for data in (
            b"\xff\xff",
            messages.AgentSessionMessage(event=state).SerializeToString(),
            messages.AgentSessionMessage(response=unknown).SerializeToString(),
            messages.AgentSessionMessage(response=answer).SerializeToString(),
        ):
            await send_bytes(agent, data)
        assert (await pinging).request_id == request.request_id
    assert len(events) == 1
    assert [line["event"] for line in lines if line["log_level"] == "warning"] == [
        "message of an agent session dropped"
    ]
    with pytest.raises(AgentControlError):
        await control.request(ping={}, timeout_s=0.05)
    await control.aclose()
    await tasks.close()


async def send_bytes(room: rtc.Room, data: bytes) -> None:
    writer = await room.local_participant.stream_bytes("AS_1", topic=SESSION_TOPIC)
    await writer.write(data)
    await writer.aclose()


async def test_an_agent_that_never_comes_is_told_in_words(service: SfuService) -> None:
    session = AgentSession(timeout_s=0.05)
    try:
        await session.start(service.url, token("ada"))
        with pytest.raises(AgentError) as error:
            await session.wait_until_connected()
        assert error.value.failures == [NEVER_JOINED]
        await session.wait_until_finished()
        assert session.agent is None
        with pytest.raises(AgentError):
            await session.send_text("anybody?")
    finally:
        await session.aclose()
        await session.room.disconnect()


async def test_who_waits_for_a_session_that_ends_is_told(person: rtc.Room, agent: rtc.Room) -> None:
    session = AgentSession(person)
    waiting = asyncio.ensure_future(session.wait_until_camera())
    await session.wait_until_connected()
    await asyncio.sleep(0)

    await session.end()

    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(AgentError):
            await waiting
        # Nothing has begun anew: who asks now may wait for that, until nobody looks any more.
        asking = asyncio.ensure_future(session.wait_until_connected())
        await asyncio.sleep(0)
        assert not asking.done()
        await session.aclose()
        with pytest.raises(AgentError):
            await asking


async def test_an_avatar_shows_and_speaks_for_its_agent(
    service: SfuService, agent: rtc.Room, person: rtc.Room
) -> None:
    session = AgentSession(person)
    signed = issue_token(
        api_key=KEY,
        api_secret=SECRET,
        identity="avatar",
        kind="agent",
        now_s=time.time(),
        ttl_s=600,
        grant=VideoGrant(room_join=True, room="room", agent=True),
        attributes={"lk.publish_on_behalf": "robot"},
    )
    avatar = rtc.Room()
    source = rtc.AudioSource(48_000, 1)
    try:
        await avatar.connect(service.url, signed)
        track = rtc.LocalAudioTrack.create_audio_track("voice", source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        async with asyncio.timeout(DEADLINE_S):
            await session.wait_until_connected()
            await avatar.local_participant.publish_track(track, options)
            voice = await session.wait_until_microphone()
        assert session.identity == "robot"
        assert session.worker is not None
        assert session.worker.identity == "avatar"
        assert voice.sid in session.worker.track_publications
        assert session.state is AgentState.LISTENING
    finally:
        await session.aclose()
        await avatar.disconnect()
        await source.aclose()
