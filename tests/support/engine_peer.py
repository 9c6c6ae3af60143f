"""Our engine as one participant of a test: generated media out, judged media in."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Self

import numpy as np

from app.engine import rtc
from app.media.capture.generated import draw_picture
from app.media.frames import Picture
from tests.support.signals import TonePeak, read_cells, tone_peak

DEADLINE_S = 30.0
WATCHED = (
    "participant_connected",
    "participant_disconnected",
    "track_published",
    "track_unpublished",
    "track_subscribed",
    "track_unsubscribed",
    "track_muted",
    "track_unmuted",
    "participant_name_changed",
    "participant_attributes_changed",
    "local_track_subscribed",
    "local_track_published",
    "active_speakers_changed",
    "data_received",
    "data_track_published",
    "data_track_unpublished",
    "connected",
    "disconnected",
    "reconnecting",
    "reconnected",
)


class EnginePeer:
    """A room of the engine with its events on record; use it as an async context manager."""

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.room = rtc.Room()
        self.events: list[tuple[str, tuple[Any, ...]]] = []
        self._news = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._sources: list[rtc.AudioSource] = []
        for name in WATCHED:
            self.room.on(name, self._note(name))  # type: ignore[arg-type]

    def _note(self, name: str) -> Callable[..., None]:
        def note(*values: Any) -> None:
            self.events.append((name, values))
            self._news.set()

        return note

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.room.disconnect()
        for source in self._sources:
            await source.aclose()

    async def wait_for(self, condition: Callable[[], Any]) -> Any:
        """Return what `condition` returns as soon as an event made it true."""
        async with asyncio.timeout(DEADLINE_S):
            while not (result := condition()):
                self._news.clear()
                await self._news.wait()
        return result

    async def wait_event(self, name: str, test: Callable[..., bool] = lambda *_: True) -> Any:
        """Return the arguments of the first event of this name that passes the test."""

        def find() -> tuple[Any, ...] | None:
            return next((v for n, v in self.events if n == name and test(*v)), None)

        try:
            values = await self.wait_for(lambda: (found := find()) is not None and (found,))
        except TimeoutError:
            raise AssertionError(f"no {name}; saw {[n for n, _ in self.events]}") from None
        return values[0]

    async def person(self, identity: str) -> rtc.RemoteParticipant:
        """Return a participant, waiting until it is there."""
        person = await self.wait_for(lambda: self.room.remote_participants.get(identity))
        assert isinstance(person, rtc.RemoteParticipant)
        return person

    # Out

    async def publish_tone(self, freq_hz: float) -> rtc.LocalTrackPublication:
        """Publish a tone as the microphone."""
        source = rtc.AudioSource(48_000, 1)
        self._sources.append(source)
        track = rtc.LocalAudioTrack.create_audio_track("mic", source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        publication = await self.room.local_participant.publish_track(track, options)
        self._keep(_sound(source, freq_hz))
        return publication

    async def publish_video(
        self,
        colour: tuple[int, int, int],
        *,
        size: tuple[int, int] = (640, 360),
        simulcast: bool = False,
        fps: int = 15,
        codec: rtc.VideoCodec = rtc.VideoCodec.VP8,
    ) -> rtc.LocalTrackPublication:
        """Publish a coloured, counted picture as the camera."""
        source = rtc.VideoSource(*size)
        track = rtc.LocalVideoTrack.create_video_track("cam", source)
        options = rtc.TrackPublishOptions(
            source=rtc.TrackSource.SOURCE_CAMERA,
            simulcast=simulcast,
            video_codec=codec,
            video_encoding=rtc.VideoEncoding(max_bitrate=800_000, max_framerate=fps),
        )
        publication = await self.room.local_participant.publish_track(track, options)
        self._keep(_pictures(source, colour, size, fps))
        return publication

    def _keep(self, coro: Any) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(coro))

    # In

    async def hear(self, identity: str) -> TonePeak:
        """Return the peak of a second of sound, after a second for things to settle."""
        stream = rtc.AudioStream.from_participant(
            participant=await self.person(identity),
            track_source=rtc.TrackSource.SOURCE_MICROPHONE,
        )
        blocks: list[np.ndarray[Any, np.dtype[np.int16]]] = []
        async with asyncio.timeout(DEADLINE_S), _closing(stream):
            async for event in stream:
                blocks.append(np.frombuffer(event.frame.data, np.int16))
                # Silence before the first sound does not count.
                if not blocks[0].any():
                    blocks.clear()
                if len(blocks) >= 200:
                    break
        return tone_peak(np.concatenate(blocks[-100:]))

    async def see(
        self, identity: str, frames: int = 30
    ) -> tuple[tuple[int, int, int], list[int], set[tuple[int, int]]]:
        """Return colour, counters and sizes of so many counted pictures."""
        stream = rtc.VideoStream.from_participant(
            participant=await self.person(identity),
            track_source=rtc.TrackSource.SOURCE_CAMERA,
        )
        counters: list[int] = []
        sizes: set[tuple[int, int]] = set()
        colour = (0, 0, 0)
        async with asyncio.timeout(DEADLINE_S), _closing(stream):
            async for event in stream:
                frame = event.frame
                sizes.add((frame.width, frame.height))
                flat = np.frombuffer(frame.data, np.uint8)
                luma = flat[: frame.width * frame.height].reshape(frame.height, frame.width)
                counter = read_cells(luma, frame.width, frame.height)
                if counter is not None:
                    counters.append(counter)
                if len(counters) >= frames:
                    rgba = np.frombuffer(frame.convert(rtc.VideoBufferType.RGBA).data, np.uint8)
                    picture = rgba.reshape(frame.height, frame.width, 4)
                    corner = picture[-frame.height // 8 :, : frame.width // 8, :3]
                    red, green, blue = corner.mean(axis=(0, 1))
                    colour = (int(red), int(green), int(blue))
                    break
        return colour, counters, sizes


@contextlib.asynccontextmanager
async def _closing(stream: rtc.AudioStream | rtc.VideoStream) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await stream.aclose()


async def _sound(source: rtc.AudioSource, freq_hz: float) -> None:
    start = 0
    while True:
        samples = np.arange(start, start + 480)
        wave = 8_000 * np.sin(2 * np.pi * freq_hz / 48_000 * samples)
        frame = rtc.AudioFrame(wave.astype(np.int16).tobytes(), 48_000, 1, 480)
        await source.capture_frame(frame)
        start += 480


async def _pictures(
    source: rtc.VideoSource, colour: tuple[int, int, int], size: tuple[int, int], fps: int
) -> None:
    loop = asyncio.get_running_loop()
    counter, due_s = 0, loop.time()
    while True:
        counter += 1
        picture: Picture = draw_picture(colour, *size, counter)
        frame = rtc.VideoFrame(*size, rtc.VideoBufferType.I420, bytes(picture.data))
        source.capture_frame(frame)
        due_s = max(due_s + 1 / fps, loop.time())
        await asyncio.sleep(due_s - loop.time())
