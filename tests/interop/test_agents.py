"""An unmodified `livekit-agents` worker serves our rooms; our engine is whom it talks to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pytest
from livekit import api

from app.engine import preconnect, rtc
from app.engine.agent_control import AgentControl
from app.engine.agent_state import AgentState
from app.engine.agents import AgentSession
from app.protocol.token import peek_claims, sign_claims
from tests.support.agent_process import PYTHON, WHY_NOT, AgentProcess
from tests.support.engine_peer import DEADLINE_S, EnginePeer
from tests.support.server_process import KEY, SECRET, ServerProcess, token_for

pytestmark = [
    pytest.mark.interop,
    pytest.mark.usefixtures("network"),
    pytest.mark.skipif(not PYTHON.exists(), reason=WHY_NOT),
]

TONE_HZ = 520.0
GREETING = "Hello from the agent."
AGENT = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT


@pytest.fixture
async def agents(server: ServerProcess) -> AsyncIterator[AgentProcess]:
    async with AgentProcess(server.url, "parrot") as process:
        await process.wait_event("registered")
        yield process


def asking_token(identity: str, agent_name: str, metadata: str = "") -> str:
    """A token whose first use makes a room with this agent."""
    wish = {"agentName": agent_name, "metadata": metadata}
    claims = {**peek_claims(token_for(identity)), "roomConfig": {"agents": [wish]}}
    return sign_claims(claims, api_secret=SECRET)


class Texts:
    """Text streams of one topic, read to their end."""

    def __init__(self, room: rtc.Room, topic: str) -> None:
        self.read: list[tuple[str, str]] = []
        self._news = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        room.register_text_stream_handler(topic, self._on_stream)

    def _on_stream(self, reader: rtc.TextStreamReader, identity: str) -> None:
        task = asyncio.get_running_loop().create_task(self._read(reader, identity))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read(self, reader: rtc.TextStreamReader, identity: str) -> None:
        self.read.append((identity, await reader.read_all()))
        self._news.set()

    async def wait_for(self, identity: str, text: str) -> None:
        """Return when this person's text has come."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                while (identity, text) not in [(who, what.strip()) for who, what in self.read]:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"no {text!r} of {identity}; saw {self.read}") from None


async def the_agent(peer: EnginePeer) -> rtc.RemoteParticipant:
    """Return the agent, waiting until it is there."""
    people = peer.room.remote_participants

    def find() -> rtc.RemoteParticipant | None:
        return next((person for person in people.values() if person.kind == AGENT), None)

    found = await peer.wait_for(find)
    assert isinstance(found, rtc.RemoteParticipant)
    return found


async def state_was(peer: EnginePeer, *states: str) -> None:
    """Return when the agent has gone through these states in this order."""

    def seen() -> bool:
        changes = [values[0] for name, values in peer.events if "attributes_changed" in name]
        walked = iter(change.get("lk.agent.state") for change in changes)
        return all(state in walked for state in states)

    await peer.wait_for(seen)


async def test_a_scripted_agent_speaks_writes_listens_and_leaves(
    server: ServerProcess, agents: AgentProcess
) -> None:
    async with EnginePeer("ada") as ada:
        texts = Texts(ada.room, "lk.transcription")
        await ada.room.connect(server.url, asking_token("ada", "parrot", "tea"))
        job = await agents.wait_event("job", metadata="tea")
        agent = await the_agent(ada)
        assert agent.identity == f"agent-{job['job']}"
        assert agent.attributes["test.attribute"] == "yes"
        assert agent.attributes["lk.agent.name"] == "parrot"

        peak = await ada.hear(agent.identity)
        assert peak.freq_hz == pytest.approx(TONE_HZ, abs=5)
        await texts.wait_for(agent.identity, GREETING)
        await state_was(ada, "listening", "speaking", "listening")

        me = ada.room.local_participant
        assert await me.perform_rpc(
            destination_identity=agent.identity, method="greet", payload="Ada"
        ) == ("hello Ada")
        ada.events.clear()
        await me.send_text("one two", topic="lk.chat", destination_identities=[agent.identity])
        await state_was(ada, "thinking", "speaking", "listening")
        await texts.wait_for(agent.identity, "You said: one two.")

        async with api.LiveKitAPI(server.http_url, KEY, SECRET) as manager:
            await manager.room.delete_room(api.DeleteRoomRequest(room="room"))
        ended: dict[str, Any] = await agents.wait_event("job_ended")
        assert ended["job"] == job["job"]


async def test_an_agent_hears_a_person_and_writes_down_what_was_said_as_theirs(
    server: ServerProcess, agents: AgentProcess
) -> None:
    async with EnginePeer("ada") as ada:
        texts = Texts(ada.room, "lk.transcription")
        await ada.room.connect(server.url, asking_token("ada", "parrot"))
        agent = await the_agent(ada)
        await ada.publish_tone(330.0)
        heard = await agents.wait_event("heard")
        assert heard["hz"] == pytest.approx(330, abs=5)
        await texts.wait_for("ada", f"heard {heard['hz']} Hz")
        assert ("ada", "heard") in texts.read
        assert await ada.room.local_participant.perform_rpc(
            destination_identity=agent.identity, method="leave", payload=""
        )
        await agents.wait_event("job_ended", reason="asked to")
        await ada.wait_event("participant_disconnected", lambda who: who.kind == AGENT)


async def test_a_session_follows_its_agent_and_what_was_said_before_it_came_is_heard(
    server: ServerProcess, agents: AgentProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Here the agent is asked for after the sound, and a busy machine starts it slowly.
    monkeypatch.setattr(preconnect, "ACTIVE_TIMEOUT_S", DEADLINE_S)
    source = rtc.AudioSource(48_000, 1)
    microphone = rtc.LocalAudioTrack.create_audio_track("microphone", source)
    session = AgentSession()
    states: list[str] = []
    session.on("state_changed", states.append)

    async def speak() -> None:
        # A second and a half of sound before anybody is there; silence ever after.
        for block in tone_blocks(330.0, seconds=1.5):
            await source.capture_frame(block)
        await source.wait_for_playout()
        spoken.set()
        while True:
            await source.capture_frame(rtc.AudioFrame.create(48_000, 1, 480))

    spoken = asyncio.Event()
    assert session.state == AgentState.DISCONNECTED
    speaking = asyncio.ensure_future(speak())
    try:
        await session.start(server.url, token_for("ada"), microphone=microphone)
        await asyncio.wait_for(spoken.wait(), DEADLINE_S)
        assert states == [AgentState.CONNECTING, AgentState.PRE_CONNECT_BUFFERING]
        assert session.can_listen
        async with api.LiveKitAPI(server.http_url, KEY, SECRET) as manager:
            wish = api.CreateAgentDispatchRequest(room="room", agent_name="parrot")
            await manager.agent_dispatch.create_dispatch(wish)
        await session.wait_until_connected()
        assert session.identity is not None
        assert session.name == "Parrot"
        voice = await session.wait_until_microphone()
        assert voice.source == rtc.TrackSource.SOURCE_MICROPHONE

        heard = await agents.wait_event("heard")
        assert heard["hz"] == pytest.approx(330, abs=5)

        robot = session.identity
        await caption(session, robot, GREETING)
        await caption(session, "ada", f"heard {heard['hz']} Hz")
        await session.send_text("one two")
        await caption(session, robot, "You said: one two.")
        # Each sentence once, although agents send each in two forms.
        texts = [c.text.strip() for c in session.captions]
        assert len(texts) == len(set(texts)), texts
        await session.wait_until_connected()

        control = AgentControl(session.room, robot)
        history = (await control.request(get_chat_history={})).get_chat_history
        assert "one two" in [part.text for item in history.items for part in item.message.content]
        await control.aclose()

        await session.room.local_participant.perform_rpc(
            destination_identity=robot, method="leave", payload=""
        )
        await session.wait_until_finished()
        assert (session.state, session.failures) == (
            AgentState.FAILED,
            ["Agent left the room unexpectedly."],
        )
        await session.end()
        assert session.state == AgentState.DISCONNECTED
    finally:
        speaking.cancel()
        await session.aclose()
        await session.room.disconnect()
        await source.aclose()


async def caption(session: AgentSession, identity: str, text: str) -> None:
    """Return when this was said, to the last word."""
    changed = asyncio.Event()
    session.on("captions_changed", lambda _: changed.set())
    async with asyncio.timeout(DEADLINE_S):
        while (identity, text, True) not in [
            (each.identity, each.text.strip(), each.is_final) for each in session.captions
        ]:
            changed.clear()
            await changed.wait()


def tone_blocks(freq_hz: float, seconds: float) -> Iterator[rtc.AudioFrame]:
    """Cut a tone into 10 ms."""
    for start in range(0, int(48_000 * seconds), 480):
        at = np.arange(start, start + 480)
        wave = 8_000 * np.sin(2 * np.pi * freq_hz / 48_000 * at)
        yield rtc.AudioFrame(wave.astype(np.int16).tobytes(), 48_000, 1, 480)


async def test_an_unnamed_worker_serves_every_new_room_and_another_takes_over_when_it_dies(
    server: ServerProcess,
) -> None:
    async with (
        AgentProcess(server.url) as first,
        AgentProcess(server.url) as second,
        EnginePeer("ada") as ada,
    ):
        await first.wait_event("registered")
        await second.wait_event("registered")
        await ada.room.connect(server.url, token_for("ada"))
        agent = await the_agent(ada)
        served = {"job": agent.identity.removeprefix("agent-")}
        taken = asyncio.ensure_future(first.wait_event("job", **served))
        other = asyncio.ensure_future(second.wait_event("job", **served))
        await asyncio.wait([taken, other], return_when=asyncio.FIRST_COMPLETED)
        killed, left = (first, second) if taken.done() else (second, first)
        for waiting in (taken, other):
            waiting.cancel()

        killed.kill()

        again = await left.wait_event("job")
        await ada.person(f"agent-{again['job']}")
        assert again["job"] != served["job"]
