"""From the mixer to a speaker, or to nobody at the same pace."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any, Protocol

import structlog

from app.media import portaudio
from app.media.frames import BLOCK_SAMPLES, SAMPLE_RATE_HZ, Pcm
from app.media.play.clock import BlockClock
from app.media.play.mixer import Mixer
from app.media.process.processor import AudioProcessor, PassThrough
from app.media.resample import Resampler, to_channels
from app.media.ring import PcmRing
from app.media.threads import MediaThread
from app.runtime.errors import Reason, WorldError

log = structlog.get_logger(__name__)

CHANNELS = 2
AHEAD_S = 0.040
SILENT_DRIVER_S = 2.0

OnFailed = Callable[[WorldError], None]


class Output(Protocol):
    """Whatever pulls the mixer."""

    def close(self) -> None:
        """Stop pulling."""


class NullOutput:
    """Pulls the mixer every 10 ms and plays nothing, so that a meeting goes on without a speaker.

    There is no echo either, so the processor learns of nothing.
    """

    def __init__(self, mixer: Mixer) -> None:
        self._clock = BlockClock(lambda: _discard(mixer.pull(BLOCK_SAMPLES)), name="null-output")

    def start(self) -> None:
        """Start pulling."""
        self._clock.start()

    def close(self) -> None:
        """Stop pulling."""
        self._clock.close()


def _discard(pcm: Pcm) -> None:
    del pcm


class SpeakerOutput:
    """Plays the mix on a device.

    A feeder thread keeps `AHEAD_S` of sound in a ring; PortAudio's callback only copies out of
    it. `start` raises WorldError (NO_AUDIO_BACKEND, DEVICE_GONE, DEVICE_BUSY) and may take some
    tenths of a second. A device that stops asking is reported once through `on_failed`, on the
    feeder thread; close this object then and open another.
    """

    def __init__(
        self,
        device_id: str | None,
        mixer: Mixer,
        processor: AudioProcessor | None = None,
        on_failed: OnFailed | None = None,
    ) -> None:
        self._device_id = device_id
        self._mixer = mixer
        self._processor = processor or PassThrough()
        self._on_failed = on_failed
        self._stream: Any = None
        self._rate_hz = SAMPLE_RATE_HZ
        self._ring = PcmRing(SAMPLE_RATE_HZ, CHANNELS)
        self._hungry = threading.Event()
        self.interruptions = 0  # blocks that PortAudio says were not seamless
        self._thread = MediaThread("speaker", self._feed)

    @property
    def lacking_samples(self) -> int:
        """Samples that the device wanted and the feeder did not have in time."""
        return self._ring.lacking_samples

    def start(self) -> None:
        """Open the device and start playing."""
        sounddevice = portaudio.load()
        try:
            self._stream = self._open(sounddevice)
            self._stream.start()
        except (sounddevice.PortAudioError, ValueError) as error:
            if self._stream is not None:
                self._stream.close()
                self._stream = None
            raise portaudio.world_error(error) from error
        portaudio.stream_opened()
        self._thread.start()

    def _open(self, sounddevice: ModuleType) -> Any:
        index = portaudio.find_device(sounddevice, self._device_id, "output")
        info = sounddevice.query_devices(index)
        channels = min(CHANNELS, int(info["max_output_channels"]))
        self._ring = PcmRing(SAMPLE_RATE_HZ, channels)
        try:
            return self._stream_at(sounddevice, index, channels, SAMPLE_RATE_HZ)
        except sounddevice.PortAudioError as error:
            own_rate_hz = int(info["default_samplerate"])
            if not portaudio.is_rate_refusal(error) or own_rate_hz == SAMPLE_RATE_HZ:
                raise
            return self._stream_at(sounddevice, index, channels, own_rate_hz)

    def _stream_at(self, sounddevice: ModuleType, index: int, channels: int, rate_hz: int) -> Any:
        stream = sounddevice.OutputStream(
            samplerate=rate_hz,
            blocksize=rate_hz // 100,
            device=index,
            channels=channels,
            dtype="int16",
            latency="low",
            callback=self._on_wanted,
        )
        self._rate_hz = rate_hz
        return stream

    def _on_wanted(self, out: Pcm, frames: int, time_info: Any, status: Any) -> None:
        """PortAudio's thread: copy, wake the feeder, nothing else."""
        del frames, time_info
        if status:
            self.interruptions += 1
        self._ring.read_into(out)
        self._hungry.set()

    def _feed(self, thread: MediaThread) -> None:
        channels = self._ring_channels()
        resampler = Resampler(SAMPLE_RATE_HZ, self._rate_hz, channels)
        ahead = int(AHEAD_S * self._rate_hz)
        while not thread.stopping.is_set():
            while self._ring.level < ahead and not thread.stopping.is_set():
                mixed = self._mixer.pull(BLOCK_SAMPLES)
                self._processor.note_played(mixed)
                self._ring.write(resampler.push(to_channels(mixed, channels)))
            self._hungry.clear()
            if self._ring.level < ahead:
                continue
            if not self._hungry.wait(SILENT_DRIVER_S) and not thread.stopping.is_set():
                self._report_silence()
                return

    def _ring_channels(self) -> int:
        return int(self._stream.channels)

    def _report_silence(self) -> None:
        log.info("speaker stopped asking for sound")
        if self._on_failed is not None:
            self._on_failed(
                WorldError(Reason.DEVICE_GONE, retry=True, detail="speaker fell silent")
            )

    def close(self) -> None:
        """Stop playing and close the device."""
        self._thread.stop(self._hungry.set)
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close(ignore_errors=True)
            portaudio.stream_closed()


def open_output(
    device_id: str | None,
    mixer: Mixer,
    processor: AudioProcessor | None = None,
    on_failed: OnFailed | None = None,
) -> tuple[Output, WorldError | None]:
    """Start playing on a device, or else to nobody; the error says why it is nobody."""
    speaker = SpeakerOutput(device_id, mixer, processor, on_failed)
    try:
        speaker.start()
    except WorldError as error:
        silent = NullOutput(mixer)
        silent.start()
        return silent, error
    return speaker, None
