"""Adds all voices up into what one person hears."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Protocol

import numpy as np
import structlog
from numpy.typing import NDArray

from app.media.frames import BLOCK_SAMPLES, Pcm

log = structlog.get_logger(__name__)

FULL_SCALE = 32_767.0
RELEASE_PER_BLOCK = 1.05

PcmTap = Callable[[Pcm], None]
PullSamples = Callable[[int], Pcm]


class PullSource(Protocol):
    """Something that gives as many samples as asked, like `AudioReceiveStream`."""

    def pull(self, samples: int) -> Pcm:
        """Return `samples` of sound, one or two channels."""


class Mixer:
    """Pulls every source and returns their sum, two channels, held below clipping.

    Sources come and go from any thread. `pull` belongs to the one thread that feeds the output,
    and sources and taps are called there. A tap hears one source, or the whole mix with
    `key=None`; it must not wait. A source that raises is removed and logged once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sources: dict[Hashable, PullSamples] = {}
        self._gains: dict[Hashable, float] = {}
        self._taps: tuple[tuple[Hashable | None, PcmTap], ...] = ()
        self._limit = 1.0

    def add(self, key: Hashable, source: PullSource | PullSamples, gain: float = 1.0) -> None:
        """Add a source under `key`, replacing the one that had it."""
        pull = source if callable(source) else source.pull
        with self._lock:
            self._sources[key] = pull
            self._gains[key] = gain

    def remove(self, key: Hashable) -> None:
        """Remove a source; an unknown key is fine."""
        with self._lock:
            self._sources.pop(key, None)
            self._gains.pop(key, None)

    def set_gain(self, key: Hashable, gain: float) -> None:
        """Change how loud one source is; 1 leaves it as it came."""
        with self._lock:
            if key in self._sources:
                self._gains[key] = gain

    def keys(self) -> tuple[Hashable, ...]:
        """Return the keys of all sources."""
        with self._lock:
            return tuple(self._sources)

    def add_tap(self, tap: PcmTap, key: Hashable | None = None) -> None:
        """Call `tap(pcm)` for every block of the source `key`, or of the mix."""
        with self._lock:
            self._taps = (*self._taps, (key, tap))

    def remove_tap(self, tap: PcmTap) -> None:
        """Stop calling `tap`, whatever it listened to."""
        with self._lock:
            self._taps = tuple(entry for entry in self._taps if entry[1] != tap)

    def pull(self, samples: int = BLOCK_SAMPLES) -> Pcm:
        """Return the next block of the mix, shape `[samples, 2]`."""
        with self._lock:
            sources = [(key, pull, self._gains[key]) for key, pull in self._sources.items()]
            taps = self._taps
        total = np.zeros((samples, 2), np.float32)
        middle = np.zeros((samples, 1), np.float32)  # one channel is added to both sides at the end
        for key, pull, gain in sources:
            try:
                pcm = pull(samples)
                side = middle if pcm.shape[1] == 1 else total
                side += pcm if gain == 1.0 else pcm * np.float32(gain)
            except Exception:
                log.exception("audio source failed")
                self.remove(key)
                continue
            _listen(taps, key, pcm)
        mixed = self._limited(total + middle)
        _listen(taps, None, mixed)
        return mixed

    def _limited(self, total: NDArray[np.float32]) -> Pcm:
        """Turn down at once for a peak, and back up over some tenths of a second."""
        peak = float(np.abs(total).max(initial=0.0))
        wanted = min(1.0, FULL_SCALE / peak) if peak > 0.0 else 1.0
        before = self._limit
        self._limit = min(wanted, before * RELEASE_PER_BLOCK, 1.0)
        if before < 1.0 or self._limit < 1.0:
            ramp = np.linspace(before, self._limit, total.shape[0], dtype=np.float32)
            total *= ramp[:, None]
            np.clip(total, -FULL_SCALE, FULL_SCALE, out=total)
        return total.astype(np.int16)


def _listen(
    taps: tuple[tuple[Hashable | None, PcmTap], ...], key: Hashable | None, pcm: Pcm
) -> None:
    for tapped, tap in taps:
        if tapped == key:
            try:
                tap(pcm)
            except Exception:
                log.exception("audio tap failed")


class ClipSource:
    """Plays a piece of sound once, then silence; `on_end` is called on the mixing thread."""

    def __init__(self, pcm: Pcm, on_end: Callable[[], None] | None = None) -> None:
        self._left = pcm
        self._on_end = on_end

    def pull(self, samples: int) -> Pcm:
        """Return the next part, filled up with silence."""
        part, self._left = self._left[:samples], self._left[samples:]
        if part.shape[0] == samples:
            return part
        if self._on_end is not None:
            on_end, self._on_end = self._on_end, None
            on_end()
        silence = np.zeros((samples - part.shape[0], part.shape[1]), np.int16)
        return np.concatenate((part, silence))
