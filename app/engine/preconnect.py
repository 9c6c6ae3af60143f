"""What is said before an agent can hear it: kept while connecting, then sent to the agent alone.

The sender records a microphone from before the room is joined, at most ten seconds. When an agent
is active the sound goes to it as a byte stream of 16-bit samples, until the server says that
somebody has subscribed to the track: from then on the track itself is heard. The receiver keeps
what comes by the track that it belongs to, and reads Opus as well, which browsers send.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

import structlog

from app.engine.agent_people import find_agent
from app.engine.audio_source import AudioSource
from app.engine.enums import ParticipantState
from app.engine.frames import AudioFrame
from app.engine.publication import LocalTrackPublication
from app.engine.streams import ByteStreamReader, StreamError
from app.media.decode.container import DamagedSoundError, decode_sound
from app.media.frames import SAMPLE_RATE_HZ, Pcm
from app.media.resample import Resampler
from app.runtime.errors import WorldError
from app.runtime.tasks import TaskOwner, spawn

if TYPE_CHECKING:
    from app.engine.room import Room

log = structlog.get_logger(__name__)

PRE_CONNECT_TOPIC = "lk.agent.pre-connect-audio-buffer"
STREAM_NAME = "preconnect-buffer"
MAX_S = 10.0
ACTIVE_TIMEOUT_S = 10.0
# Speech needs no more, and a slow uplink has other things to carry while it connects.
SENT_RATE_HZ = 24_000
MAX_RECEIVED_BYTES = 4 * 1024 * 1024
MAX_UNCLAIMED = 16
DATA_TIMEOUT_S = 3.0
# An agent that never listens to the track does not get the microphone this way instead.
HEARD_TIMEOUT_S = 30.0
_AGENT_NEWS: tuple[Any, ...] = ("participant_active", "participant_connected")


class PreConnectBuffer:
    """Sound of one source since `start`; when it is full the oldest goes first."""

    def __init__(self, source: AudioSource) -> None:
        self._source = source
        self._channels = source.channels_sent
        self._resampler = Resampler(SAMPLE_RATE_HZ, SENT_RATE_HZ, self._channels)
        self._lock = threading.Lock()
        self._blocks: deque[bytes] = deque()
        self._size = 0
        self._limit = int(MAX_S * SENT_RATE_HZ) * 2 * self._channels
        self._is_recording = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news: asyncio.Event | None = None

    @property
    def duration_s(self) -> float:
        """How much is kept."""
        with self._lock:
            return self._size / (2 * self._channels * SENT_RATE_HZ)

    def start(self) -> None:
        """Keep what sounds from now on."""
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._is_recording = True
        self._source.add_sink(self._on_sound)

    def stop(self) -> None:
        """Keep nothing more; what is kept can still be sent."""
        if self._is_recording:
            self._is_recording = False
            self._source.remove_sink(self._on_sound)
            self._wake()

    async def send(self, room: Room, agent_identity: str, track_sid: str) -> None:
        """Send what is kept and what is still added until `stop`."""
        assert self._news is not None
        writer = await room.local_participant.stream_bytes(
            STREAM_NAME,
            topic=PRE_CONNECT_TOPIC,
            mime_type="audio/pcm",
            attributes={
                "trackId": track_sid,
                "sampleRate": str(SENT_RATE_HZ),
                "channels": str(self._channels),
            },
            destination_identities=[agent_identity],
        )
        while True:
            with self._lock:
                data = b"".join(self._blocks)
                self._blocks.clear()
                self._size = 0
            if data:
                await writer.write(data)
                continue
            if not self._is_recording:
                break
            self._news.clear()
            await self._news.wait()
        await writer.aclose()

    def _on_sound(self, pcm: Pcm, _position: int) -> None:
        """Runs on the source's thread."""
        data = self._resampler.push(pcm).tobytes()
        with self._lock:
            self._blocks.append(data)
            self._size += len(data)
            while self._size > self._limit:
                self._size -= len(self._blocks.popleft())
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        if self._news is not None:
            self._news.set()


class PreConnectSender:
    """Brings a buffer to the first agent that is active, once its track is published."""

    def __init__(self, room: Room, buffer: PreConnectBuffer, owner: TaskOwner) -> None:
        self._room = room
        self._buffer = buffer
        self._owner = owner

    async def run(self, publication: LocalTrackPublication) -> bool:
        """Return whether an agent got the sound; without one in time it is forgotten."""
        waiting = spawn(self._stop_when_heard(publication), name="heard", owner=self._owner)
        try:
            async with asyncio.timeout(ACTIVE_TIMEOUT_S):
                identity = await self._active_agent()
            await self._buffer.send(self._room, identity, publication.sid)
        except TimeoutError:
            log.info("no agent for the sound before it came")
            return False
        except (StreamError, WorldError):
            log.info("the sound before the agent was not sent")
            return False
        finally:
            waiting.cancel()
            self._buffer.stop()
        return True

    async def _stop_when_heard(self, publication: LocalTrackPublication) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HEARD_TIMEOUT_S):
                await publication.wait_for_subscription()
        self._buffer.stop()

    async def _active_agent(self) -> str:
        news = asyncio.Event()

        def on_news(*_: Any) -> None:
            news.set()

        for event in _AGENT_NEWS:
            self._room.on(event, on_news)
        try:
            while True:
                agent = find_agent(self._room)
                if agent is not None and agent.state == ParticipantState.PARTICIPANT_STATE_ACTIVE:
                    return str(agent.identity)
                news.clear()
                await news.wait()
        finally:
            for event in _AGENT_NEWS:
                self._room.off(event, on_news)


class PreConnectReceiver:
    """The agent's side: what people said before they could be heard, by track."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._owner = TaskOwner("pre-connect")
        self._sounds: dict[str, asyncio.Future[list[AudioFrame]]] = {}
        room.register_byte_stream_handler(PRE_CONNECT_TOPIC, self._on_stream)

    async def wait_for_data(
        self, track_sid: str, timeout_s: float = DATA_TIMEOUT_S
    ) -> list[AudioFrame]:
        """Return the sound of a track, once; nothing when none comes in time."""
        sound = self._sound(track_sid)
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(sound)
        except TimeoutError:
            return []
        finally:
            self._sounds.pop(track_sid, None)

    async def aclose(self) -> None:
        """Stop listening."""
        self._room.unregister_byte_stream_handler(PRE_CONNECT_TOPIC)
        await self._owner.close()

    def _sound(self, track_sid: str) -> asyncio.Future[list[AudioFrame]]:
        if track_sid not in self._sounds:
            while len(self._sounds) >= MAX_UNCLAIMED:
                self._sounds.pop(next(iter(self._sounds)))
            self._sounds[track_sid] = asyncio.get_running_loop().create_future()
        return self._sounds[track_sid]

    def _on_stream(self, reader: ByteStreamReader, _identity: str) -> None:
        spawn(self._read(reader), name="read", owner=self._owner)

    async def _read(self, reader: ByteStreamReader) -> None:
        attributes = reader.info.attributes or {}
        track_sid = attributes.get("trackId", "")
        data = bytearray()
        try:
            rate_hz, channels = int(attributes["sampleRate"]), int(attributes["channels"])
            if not track_sid or not 8_000 <= rate_hz <= 192_000 or channels not in (1, 2):
                raise ValueError
            async for chunk in reader:
                data += chunk
                if len(data) > MAX_RECEIVED_BYTES:
                    raise ValueError
            mime_type = reader.info.mime_type
            if mime_type == "audio/opus" or "codecs=opus" in mime_type:
                pcm = await asyncio.to_thread(decode_sound, bytes(data), rate_hz, channels, MAX_S)
                data = bytearray(pcm.tobytes())
        except (KeyError, ValueError, StreamError, DamagedSoundError):
            reader.close()
            log.warning("sound from before the connection was dropped")
            return
        sound = self._sound(track_sid)
        if not sound.done():
            sound.set_result(_frames(bytes(data), rate_hz, channels))


def _frames(data: bytes, rate_hz: int, channels: int) -> list[AudioFrame]:
    """Cut into 10 ms; the last one may be shorter."""
    size = rate_hz // 100 * channels * 2
    whole = len(data) // (2 * channels) * 2 * channels
    pieces = [data[at : min(at + size, whole)] for at in range(0, whole, size)]
    return [AudioFrame(piece, rate_hz, channels, len(piece) // (2 * channels)) for piece in pieces]
