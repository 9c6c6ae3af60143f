"""Echo cancellation and noise suppression for one's own microphone."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import structlog

from app.media.frames import BLOCK_SAMPLES, SAMPLE_RATE_HZ, Pcm
from app.runtime.mailbox import DropOldestMailbox

log = structlog.get_logger(__name__)

PLAYED_CAPACITY_BLOCKS = 20
SPARE_BLOCKS = 2
TRIM_INTERVAL_BLOCKS = 100
NOISE_LEVEL = 2  # 18 dB


class AudioProcessor(Protocol):
    """What stands between the microphone and the encoder.

    `note_played` is called on the playing thread with every block that goes to the speaker,
    `process` on the capturing thread with every block of one channel. `cancels_echo` is False
    when people should be told to use headphones.
    """

    cancels_echo: bool

    def note_played(self, pcm: Pcm) -> None:
        """Remember what is about to be heard."""

    def process(self, pcm: Pcm) -> Pcm:
        """Clean 480 samples of one channel."""


class PassThrough:
    """Leaves the microphone as it is."""

    cancels_echo = False

    def note_played(self, pcm: Pcm) -> None:
        """Ignore what is played."""

    def process(self, pcm: Pcm) -> Pcm:
        """Return `pcm` itself."""
        return pcm


class WebRtcProcessor:
    """WebRTC's audio processing module.

    It wants one played block with each captured one, and never later than its echo. The two
    devices run on clocks of their own, so played blocks wait in a queue: an empty one stands for
    silence, which leaves the next block more time. What never was needed in a second is dropped
    (`dropped`), since it only makes blocks late; the canceller finds the new alignment itself.
    """

    cancels_echo = True

    def __init__(self, *, noise: bool = True, gain: bool = False) -> None:
        from pywebrtc_audio import AudioProcessor as WebRtc

        self._module = WebRtc(
            sample_rate=SAMPLE_RATE_HZ,
            num_channels=1,
            echo_cancellation=True,
            noise_suppression=noise,
            high_pass_filter=True,
            auto_gain_control=gain,
            ns_level=NOISE_LEVEL,
        )
        self._played: DropOldestMailbox[Pcm] = DropOldestMailbox(PLAYED_CAPACITY_BLOCKS)
        self._dropped_late = 0
        self.lacking = 0  # captured blocks for which no played one was known yet
        self._least_waiting: int | None = None
        self._since_trim = 0
        self._silence = np.zeros(BLOCK_SAMPLES, np.int16)

    @property
    def dropped(self) -> int:
        """Played blocks that the canceller never saw."""
        return self._played.dropped + self._dropped_late

    def note_played(self, pcm: Pcm) -> None:
        """Remember what is about to be heard, as one channel."""
        mono = pcm[:, 0] if pcm.shape[1] == 1 else pcm.mean(axis=1)
        self._played.put(np.ascontiguousarray(mono, dtype=np.int16))

    def process(self, pcm: Pcm) -> Pcm:
        """Take echo and noise out of 480 samples of one channel."""
        near = np.ascontiguousarray(pcm, dtype=np.int16).reshape(-1)
        if near.size != BLOCK_SAMPLES:
            raise ValueError(f"{near.size} samples are no 10 ms of one channel")
        self._trim()
        played = self._played.take()
        self.lacking += played is None
        clean = self._module.process(near, self._silence if played is None else played)
        return clean.reshape(-1, 1)

    def _trim(self) -> None:
        waiting = len(self._played)
        if self._least_waiting is None:
            # The speaker has been playing since before the microphone was opened.
            self._drop_to(SPARE_BLOCKS, waiting)
            self._least_waiting = min(waiting, SPARE_BLOCKS)
            return
        self._least_waiting = min(self._least_waiting, waiting)
        self._since_trim += 1
        if self._since_trim >= TRIM_INTERVAL_BLOCKS:
            self._drop_to(SPARE_BLOCKS, self._least_waiting)
            self._since_trim = 0
            self._least_waiting = len(self._played)

    def _drop_to(self, wanted: int, waiting: int) -> None:
        for _ in range(waiting - wanted):
            self._played.take()
            self._dropped_late += 1


def make_processor(*, gain: bool = False) -> AudioProcessor:
    """Return WebRTC's processing, or a pass-through where it cannot be imported."""
    try:
        return WebRtcProcessor(gain=gain)
    except ImportError as error:
        log.warning("no echo cancellation on this machine", error=str(error))
        return PassThrough()
