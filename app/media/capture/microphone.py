"""One's own voice, 10 ms at a time, cleaned."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import structlog

from app.media import portaudio
from app.media.frames import BLOCK_SAMPLES, SAMPLE_RATE_HZ, Pcm
from app.media.process.processor import AudioProcessor, PassThrough
from app.media.resample import Resampler
from app.media.ring import PcmRing
from app.media.threads import MediaThread
from app.runtime.errors import Reason, WorldError

log = structlog.get_logger(__name__)

CAPACITY_S = 0.5
SILENT_DRIVER_S = 2.0


class MicrophoneInput:
    """Records one channel from a device.

    PortAudio's callback only copies into a ring; a thread of our own cleans each block and calls
    `on_pcm(pcm)` with shape `[480, 1]` at 48 kHz. When that thread falls behind, the oldest
    sound is dropped and counted. `start` raises WorldError (NO_AUDIO_BACKEND, DEVICE_GONE,
    DEVICE_BUSY); a device that falls silent later is reported once through `on_failed`.
    """

    def __init__(
        self,
        device_id: str | None,
        on_pcm: Callable[[Pcm], None],
        processor: AudioProcessor | None = None,
        on_failed: Callable[[WorldError], None] | None = None,
    ) -> None:
        self._device_id = device_id
        self._on_pcm = on_pcm
        self._processor = processor or PassThrough()
        self._on_failed = on_failed
        self._stream: Any = None
        self._rate_hz = SAMPLE_RATE_HZ
        self._ring = PcmRing(int(SAMPLE_RATE_HZ * CAPACITY_S), 1)
        self._arrived = threading.Event()
        self.interruptions = 0  # blocks that PortAudio says were not seamless
        self._thread = MediaThread("microphone", self._run)

    @property
    def dropped_samples(self) -> int:
        """Samples that came faster than they were handled."""
        return self._ring.dropped_samples

    def start(self) -> None:
        """Open the device and start recording."""
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
        index = portaudio.find_device(sounddevice, self._device_id, "input")
        try:
            return self._stream_at(sounddevice, index, SAMPLE_RATE_HZ)
        except sounddevice.PortAudioError as error:
            own_rate_hz = int(sounddevice.query_devices(index)["default_samplerate"])
            if not portaudio.is_rate_refusal(error) or own_rate_hz == SAMPLE_RATE_HZ:
                raise
            return self._stream_at(sounddevice, index, own_rate_hz)

    def _stream_at(self, sounddevice: ModuleType, index: int, rate_hz: int) -> Any:
        stream = sounddevice.InputStream(
            samplerate=rate_hz,
            blocksize=rate_hz // 100,
            device=index,
            channels=1,
            dtype="int16",
            latency="low",
            callback=self._on_recorded,
        )
        self._rate_hz = rate_hz
        return stream

    def _on_recorded(self, data: Pcm, frames: int, time_info: Any, status: Any) -> None:
        """PortAudio's thread: copy, wake our thread, nothing else."""
        del frames, time_info
        if status:
            self.interruptions += 1
        self._ring.write(data)
        self._arrived.set()

    def _run(self, thread: MediaThread) -> None:
        resampler = Resampler(self._rate_hz, SAMPLE_RATE_HZ, 1)
        waiting = np.zeros((0, 1), np.int16)
        while not thread.stopping.is_set():
            if not self._arrived.wait(SILENT_DRIVER_S):
                self._report_silence()
                return
            self._arrived.clear()
            recorded = np.empty((self._ring.level, 1), np.int16)
            self._ring.read_into(recorded)
            waiting = np.concatenate((waiting, resampler.push(recorded)))
            while waiting.shape[0] >= BLOCK_SAMPLES and not thread.stopping.is_set():
                block, waiting = waiting[:BLOCK_SAMPLES], waiting[BLOCK_SAMPLES:]
                self._on_pcm(self._processor.process(block))

    def _report_silence(self) -> None:
        log.info("microphone stopped giving sound")
        if self._on_failed is not None:
            self._on_failed(
                WorldError(Reason.DEVICE_GONE, retry=True, detail="microphone fell silent")
            )

    def close(self) -> None:
        """Stop recording and close the device."""
        self._thread.stop(self._arrived.set)
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close(ignore_errors=True)
            portaudio.stream_closed()
