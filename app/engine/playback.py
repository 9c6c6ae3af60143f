"""What this person hears: every voice mixed, on the chosen speaker or, without one, on none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import numpy as np
import structlog

from app.engine.events import DeviceFailed, DeviceKind, Event
from app.engine.track import RemoteAudioTrack
from app.media.decode.audio import AudioReceiveStream
from app.media.frames import SAMPLE_RATE_HZ, Pcm
from app.media.play.mixer import ClipSource, Mixer, PcmTap
from app.media.play.speaker import NullOutput, Output, SpeakerOutput, open_output
from app.media.process.processor import AudioProcessor
from app.runtime.errors import WorldError
from app.runtime.tasks import TaskOwner, spawn

log = structlog.get_logger(__name__)

_CHIME_HZ = (523.25, 659.25, 783.99)
_CHIME_NOTE_S = 0.18


class Playback:
    """Mixer and output; belongs to the engine thread, devices are opened on worker threads.

    `silent` never opens a device: the mix is pulled at the same pace and thrown away.
    """

    def __init__(
        self, post: Callable[[Event], None], processor: AudioProcessor, *, silent: bool = False
    ) -> None:
        self._post = post
        self._processor = processor
        self._silent = silent
        self._loop = asyncio.get_running_loop()
        self._owner = TaskOwner("playback")
        self._lock = asyncio.Lock()
        self._mixer = Mixer()
        self._output: Output | None = None
        self._device_id = ""
        self._voices: dict[RemoteAudioTrack, AudioReceiveStream] = {}
        self._users = 0
        self.on_lost: Callable[[WorldError], Awaitable[None]] = self._after_loss
        """What happens when the open speaker has stopped."""

    @property
    def is_open(self) -> bool:
        """Whether somebody listens, or would if there were a speaker."""
        return self._output is not None

    async def start(self, device_id: str) -> None:
        """Open the speaker; a missing one is told, and the mix goes on unheard."""
        self._device_id = device_id
        async with self._lock:
            self._users += 1
            if self._output is None:
                await self._open()

    async def stop(self) -> None:
        """Close the speaker when nobody needs it any more."""
        async with self._lock:
            self._users = max(0, self._users - 1)
            if self._users == 0:
                await self._close()

    async def choose(self, device_id: str) -> None:
        """Go on with another speaker."""
        self._device_id = device_id
        async with self._lock:
            if self._output is not None:
                await self._close()
                await self._open()

    @asynccontextmanager
    async def speaker_aside(self, *, interrupt: bool) -> AsyncIterator[bool]:
        """Keep the speaker from being opened meanwhile; with `interrupt` close it as long.

        Gives whether none is open. `use` decides which one is opened afterwards.
        """
        async with self._lock:
            was_open = interrupt and self._output is not None
            if was_open:
                await self._close()
            yield not isinstance(self._output, SpeakerOutput)
            if was_open:
                await self._open()

    def use(self, device_id: str) -> None:
        """Open this speaker the next time that one is opened."""
        self._device_id = device_id

    def add_voice(self, track: RemoteAudioTrack) -> None:
        """Let somebody be heard."""
        if track not in self._voices:
            stream = self._voices[track] = track.open_audio()
            self._mixer.add(track.sid, stream)

    def remove_voice(self, track: RemoteAudioTrack) -> None:
        """Let somebody be heard no more."""
        stream = self._voices.pop(track, None)
        if stream is not None:
            track.close_audio(stream)
            self._mixer.remove(track.sid)

    def remove_all_voices(self) -> None:
        """Silence: the meeting is over."""
        for track in list(self._voices):
            self.remove_voice(track)

    def add_tap(self, tap: PcmTap) -> None:
        """Let `tap` hear the mix before the device does (any thread)."""
        self._mixer.add_tap(tap)

    def remove_tap(self, tap: PcmTap) -> None:
        """Stop `tap` (any thread)."""
        self._mixer.remove_tap(tap)

    async def play_test_sound(self, device_id: str) -> None:
        """Play three rising notes and return when they ended."""
        ended = asyncio.Event()

        def on_end() -> None:
            self._loop.call_soon_threadsafe(ended.set)

        await self.start(device_id)
        try:
            self._mixer.add("test sound", ClipSource(_chime(), on_end))
            # A device that has stopped asking ends the wait, not the person's patience.
            async with asyncio.timeout(5.0):
                await ended.wait()
        except TimeoutError:
            log.info("test sound did not end")
        finally:
            self._mixer.remove("test sound")
            await self.stop()

    def stats(self) -> dict[str, object]:
        """Say how every voice is doing."""
        return {track.sid: stream.stats() for track, stream in self._voices.items()}

    async def aclose(self) -> None:
        """Close everything."""
        await self._owner.close()
        self.remove_all_voices()
        async with self._lock:
            self._users = 0
            await self._close()

    async def _open(self) -> None:
        if self._silent:
            silent = NullOutput(self._mixer)
            silent.start()
            self._output = silent
            return
        self._output, error = await asyncio.to_thread(
            open_output, self._device_id or None, self._mixer, self._processor, self._on_failed
        )
        if error is not None:
            self._post(DeviceFailed(DeviceKind.SPEAKER, error.reason))

    async def _close(self) -> None:
        output, self._output = self._output, None
        if output is not None:
            await asyncio.to_thread(output.close)

    def _on_failed(self, error: WorldError) -> None:
        # On the feeder thread, which is about to end.
        self._loop.call_soon_threadsafe(self._handle_failed, error)

    def _handle_failed(self, error: WorldError) -> None:
        spawn(self._tell_lost(error), name="reopen", owner=self._owner)

    async def _tell_lost(self, error: WorldError) -> None:
        await self.on_lost(error)

    async def _after_loss(self, error: WorldError) -> None:
        self._post(DeviceFailed(DeviceKind.SPEAKER, error.reason))
        # Perhaps another default has taken its place; if none has, the mix goes on unheard.
        await self.choose("")


def _chime() -> Pcm:
    samples = int(SAMPLE_RATE_HZ * _CHIME_NOTE_S)
    at_s = np.arange(samples) / SAMPLE_RATE_HZ
    fade = np.minimum(1.0, np.minimum(at_s, _CHIME_NOTE_S - at_s) / 0.02)
    notes = [np.sin(2 * np.pi * freq_hz * at_s) * fade for freq_hz in _CHIME_HZ]
    mono = (np.concatenate(notes) * 0.2 * 32_767).astype(np.int16)
    return np.repeat(mono[:, None], 2, axis=1)
