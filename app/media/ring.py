"""Sound between a driver's callback and a media thread."""

from __future__ import annotations

import threading

import numpy as np

from app.media.frames import Pcm


class PcmRing:
    """A bounded run of samples: one thread writes, another reads, nobody waits.

    Writing more than fits drops the oldest samples (`dropped_samples`); reading more than there
    is fills up with silence (`lacking_samples`).
    """

    def __init__(self, capacity_samples: int, channels: int) -> None:
        self._buffer = np.zeros((capacity_samples, channels), np.int16)
        self._lock = threading.Lock()
        self._start = 0
        self._level = 0
        self.dropped_samples = 0
        self.lacking_samples = 0

    @property
    def level(self) -> int:
        """Samples waiting to be read."""
        return self._level

    def write(self, pcm: Pcm) -> None:
        """Append `pcm`."""
        capacity = self._buffer.shape[0]
        pcm = pcm[-capacity:]
        with self._lock:
            excess = max(0, self._level + pcm.shape[0] - capacity)
            if excess:
                self._start = (self._start + excess) % capacity
                self._level -= excess
                self.dropped_samples += excess
            end = (self._start + self._level) % capacity
            first = min(pcm.shape[0], capacity - end)
            self._buffer[end : end + first] = pcm[:first]
            self._buffer[: pcm.shape[0] - first] = pcm[first:]
            self._level += pcm.shape[0]

    def read_into(self, out: Pcm) -> None:
        """Fill `out` with the oldest samples, then with silence."""
        capacity = self._buffer.shape[0]
        with self._lock:
            count = min(out.shape[0], self._level)
            first = min(count, capacity - self._start)
            out[:first] = self._buffer[self._start : self._start + first]
            out[first:count] = self._buffer[: count - first]
            self._start = (self._start + count) % capacity
            self._level -= count
            self.lacking_samples += out.shape[0] - count
        out[count:] = 0
