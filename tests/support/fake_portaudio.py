"""A PortAudio whose devices the test drives by hand: calls back when told, fails when told."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from app.media.frames import Pcm

INVALID_SAMPLE_RATE = -9997
DEVICE_UNAVAILABLE = -9985


class PortAudioError(Exception):
    """Like sounddevice's: words, then PortAudio's number."""


class Stream:
    """One stream; `ask` and `give` do what the driver's thread would."""

    def __init__(self, owner: FakePortAudio, callback: Callable[..., None], **options: Any) -> None:
        if owner.fail_open is not None:
            raise owner.fail_open
        if options["samplerate"] != owner.rate_hz:
            raise PortAudioError("Invalid sample rate", INVALID_SAMPLE_RATE)
        self.options = options
        self.channels = options["channels"]
        self.is_open = True
        self._callback = callback
        owner.streams.append(self)

    def start(self) -> None:
        """Nothing flows until the test says so."""

    def close(self, ignore_errors: bool = True) -> None:
        self.is_open = False

    def ask(self, status: str = "") -> Pcm:
        """Return one block of what would be played."""
        block = np.full((self.options["blocksize"], self.channels), -1, np.int16)
        self._callback(block, block.shape[0], None, status)
        return block

    def give(self, pcm: Pcm, status: str = "") -> None:
        """Deliver one recorded block."""
        self._callback(pcm, pcm.shape[0], None, status)


class FakePortAudio:
    """Stands in for the sounddevice module."""

    PortAudioError = PortAudioError

    def __init__(self, rate_hz: int = 48_000, output_channels: int = 2) -> None:
        self.rate_hz = rate_hz
        self.fail_open: Exception | None = None
        self.streams: list[Stream] = []
        self.default = SimpleNamespace(device=(0, 1))
        self._devices = [
            self._device("Mic", 1, 0),
            self._device("Speaker", 0, output_channels),
            self._device("Headset", 1, 1),
        ]

    def _device(self, name: str, inputs: int, outputs: int) -> dict[str, Any]:
        return {
            "name": name,
            "hostapi": 0,
            "max_input_channels": inputs,
            "max_output_channels": outputs,
            "default_samplerate": float(self.rate_hz),
        }

    def query_devices(self, index: int | None = None) -> Any:
        return self._devices if index is None else self._devices[index]

    def query_hostapis(self, index: int) -> dict[str, str]:
        return {"name": "Fake"}

    def OutputStream(self, **options: Any) -> Stream:  # noqa: N802  # sounddevice's name
        return Stream(self, **options)

    def InputStream(self, **options: Any) -> Stream:  # noqa: N802  # sounddevice's name
        return Stream(self, **options)
