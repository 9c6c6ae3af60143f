"""The receiving end of one voice: an adaptive jitter buffer around an Opus decoder.

Arrivals set a target delay (`delay.py`). Playing approaches it by cutting or repeating single
pitch periods (`stretch.py`). A hole whose successor is there is filled from the successor's
redundant copy, else concealed. When nothing is there, sound goes on by concealment while the
place in the stream is held, so that a late packet is still heard; after `PAUSE_S` that is a
pause, and the next packet starts afresh.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import numpy as np

from app.media.decode import stretch
from app.media.decode.delay import DelayEstimator
from app.media.decode.opus import OpusDecoder, open_decoder, packet_samples
from app.media.frames import BLOCK_SAMPLES, SAMPLE_RATE_HZ, Pcm
from app.protocol.errors import ProtocolError
from app.protocol.rtp.encoded import AudioPacket

CAPACITY_PACKETS = 150
PAUSE_S = 0.240
SLACK_S = 0.020  # how far above the target the delay may stray before sound is shortened
SHORTFALL_S = 0.005  # and below it, where packets begin to come too late
CATCH_UP_S = 0.250  # beyond the target by this much, packets are skipped, not hurried
RESTART_SEQ_STEP = 1_000
RESTART_DRIFT_S = 3.0
DTX_SIZE_BYTES = 2
CONCEAL_SAMPLES = 480
DELAY_SMOOTHING = 0.05


@dataclass(frozen=True, slots=True)
class AudioReceiveStats:
    """Counts since the stream was made; `delay_ms` and `target_ms` are of the present.

    `concealed_ratio` counts samples invented for lack of a packet among all that were played;
    a copy from the next packet is real sound and counts in `recovered_packets` instead.
    """

    received: int
    late: int
    repeated: int
    dropped: int
    malformed: int
    recovered_packets: int
    concealed_samples: int
    played_samples: int
    concealed_ratio: float
    stretched_samples: int
    pauses: int
    delay_ms: float
    target_ms: float
    jitter_ms: float


@dataclass(slots=True)
class _Waiting:
    ext_seq: int
    media: int  # unwrapped RTP timestamp
    samples: int
    payload: bytes


class AudioReceiveStream:
    """Takes packets as they come and gives sound as it is wanted.

    `put` belongs to the receiving thread, `pull` to the playing one. At most
    `CAPACITY_PACKETS` wait; then the oldest is dropped and counted. `pull` always returns as many
    samples as asked: silence before the first packet and in a pause.
    """

    def __init__(self, channels: int = 1) -> None:
        self.channels = channels
        self._lock = threading.Lock()
        self._decoder: OpusDecoder = open_decoder(channels)
        self._delay = DelayEstimator()
        self._packets: dict[int, _Waiting] = {}  # by media time
        self._newest_seq: int | None = None
        self._newest_media = 0
        self._newest_arrival_s = 0.0
        self._playing = False
        self._next_media = 0
        self._last_seq = 0
        self._last_was_dtx = False
        self._held_samples = 0  # concealed while the place in the stream was held
        self._ready = np.zeros((0, channels), np.int16)
        self._smooth_delay_s: float | None = None
        self._received = self._late = self._repeated = self._dropped = self._malformed = 0
        self._recovered = self._concealed = self._played = self._stretched = self._pauses = 0

    def put(self, packet: AudioPacket) -> None:
        """Add a received packet; `arrival_s` must come from `time.monotonic`."""
        try:
            samples = packet_samples(packet.payload)
        except ProtocolError:
            with self._lock:
                self._malformed += 1
            return
        with self._lock:
            self._received += 1
            waiting = self._unwrap(packet, samples)
            self._delay.add(waiting.media / SAMPLE_RATE_HZ, packet.arrival_s)
            if self._playing and waiting.media < self._next_media:
                self._late += 1
            elif waiting.media in self._packets:
                self._repeated += 1
            else:
                if len(self._packets) >= CAPACITY_PACKETS:
                    del self._packets[min(self._packets)]
                    self._dropped += 1
                self._packets[waiting.media] = waiting

    def pull(self, samples: int = BLOCK_SAMPLES, now_s: float | None = None) -> Pcm:
        """Return the next `samples` of sound, shape `[samples, channels]`."""
        now_s = time.monotonic() if now_s is None else now_s
        with self._lock:
            while self._ready.shape[0] < samples:
                more = self._advance(now_s)
                if more is None:
                    lack = samples - self._ready.shape[0]
                    more = np.zeros((lack, self.channels), np.int16)
                self._ready = np.concatenate((self._ready, more)) if self._ready.size else more
            block, self._ready = self._ready[:samples], self._ready[samples:]
            return block

    def stats(self) -> AudioReceiveStats:
        """Return the counts so far."""
        with self._lock:
            return AudioReceiveStats(
                received=self._received,
                late=self._late,
                repeated=self._repeated,
                dropped=self._dropped,
                malformed=self._malformed,
                recovered_packets=self._recovered,
                concealed_samples=self._concealed,
                played_samples=self._played,
                concealed_ratio=self._concealed / self._played if self._played else 0.0,
                stretched_samples=self._stretched,
                pauses=self._pauses,
                delay_ms=(self._smooth_delay_s or 0.0) * 1000,
                target_ms=self._delay.target_s * 1000,
                jitter_ms=self._delay.jitter_s * 1000,
            )

    # Receiving side

    def _unwrap(self, packet: AudioPacket, samples: int) -> _Waiting:
        if self._newest_seq is None:
            self._restart(packet)
        assert self._newest_seq is not None
        seq_step = (packet.seq - self._newest_seq + 0x8000) % 0x10000 - 0x8000
        ts_step = (packet.ts_rtp - self._newest_media + (1 << 31)) % (1 << 32) - (1 << 31)
        drift_s = packet.arrival_s - self._newest_arrival_s - ts_step / SAMPLE_RATE_HZ
        if abs(seq_step) > RESTART_SEQ_STEP or abs(drift_s) > RESTART_DRIFT_S:
            # Another sender behind the same track, or one whose clock stood still meanwhile.
            self._restart(packet)
            seq_step = ts_step = 0
        ext_seq, media = self._newest_seq + seq_step, self._newest_media + ts_step
        if seq_step > 0:
            self._newest_seq, self._newest_media = ext_seq, media
            self._newest_arrival_s = packet.arrival_s
        return _Waiting(ext_seq, media, samples, packet.payload)

    def _restart(self, packet: AudioPacket) -> None:
        self._newest_seq, self._newest_media = packet.seq, packet.ts_rtp
        self._newest_arrival_s = packet.arrival_s
        self._packets.clear()
        self._delay.reset()
        self._playing = False

    # Playing side

    def _advance(self, now_s: float) -> Pcm | None:
        """Produce some more sound, or None while there is none to play."""
        if not self._playing and not self._start(now_s):
            return None
        waiting = self._packets.pop(self._next_media, None)
        if waiting is not None:
            return self._play(waiting, now_s)
        if not self._packets:
            return self._hold()
        return self._bridge(self._packets[min(self._packets)], now_s)

    def _start(self, now_s: float) -> bool:
        first = self._due_packet(now_s)
        if first is None:
            return False
        self._playing = True
        self._next_media = first.media
        self._last_seq = first.ext_seq - 1
        self._held_samples = 0
        return True

    def _due_packet(self, now_s: float) -> _Waiting | None:
        for media in sorted(self._packets):
            waiting = self._packets[media]
            delay_s = self._delay.delay_s(media / SAMPLE_RATE_HZ, now_s)
            if delay_s < self._delay.target_s:
                return None
            if delay_s < self._delay.target_s + CATCH_UP_S or len(self._packets) == 1:
                return waiting
            del self._packets[media]
            self._dropped += 1
        return None

    def _play(self, waiting: _Waiting, now_s: float) -> Pcm | None:
        media_s = (self._next_media - self._ready.shape[0]) / SAMPLE_RATE_HZ
        delay_s = self._delay.delay_s(media_s, now_s)
        self._next_media = waiting.media + waiting.samples
        self._last_seq = waiting.ext_seq
        self._last_was_dtx = len(waiting.payload) <= DTX_SIZE_BYTES
        self._held_samples = 0
        self._note_delay(delay_s)
        try:
            pcm = self._decoder.decode(waiting.payload)
        except ProtocolError:
            self._malformed += 1
            return self._invent(waiting.samples // 120 * 120 or 120)
        self._played += pcm.shape[0]
        return self._approach_target(pcm, delay_s)

    def _note_delay(self, delay_s: float) -> None:
        if self._smooth_delay_s is None:
            self._smooth_delay_s = delay_s
        self._smooth_delay_s += (delay_s - self._smooth_delay_s) * DELAY_SMOOTHING

    def _approach_target(self, pcm: Pcm, delay_s: float) -> Pcm | None:
        excess_s = delay_s - self._delay.target_s
        if excess_s > CATCH_UP_S and self._packets:
            self._dropped += 1
            return np.zeros((0, self.channels), np.int16)
        if excess_s > SLACK_S:
            stretched = stretch.shorten(pcm, urgent=excess_s > 5 * SLACK_S)
        elif excess_s < -SHORTFALL_S:
            stretched = stretch.lengthen(pcm)
        else:
            return pcm
        self._stretched += abs(stretched.shape[0] - pcm.shape[0])
        return stretched

    def _hold(self) -> Pcm | None:
        """Nothing has come: go on without moving in the stream, up to a pause."""
        if self._held_samples >= PAUSE_S * SAMPLE_RATE_HZ:
            self._playing = False
            self._pauses += 1
            return None
        self._held_samples += CONCEAL_SAMPLES
        if self._last_was_dtx:
            # The sender is silent on purpose; libopus makes its comfort noise.
            self._played += CONCEAL_SAMPLES
            return self._decoder.conceal(CONCEAL_SAMPLES)
        return self._invent(CONCEAL_SAMPLES)

    def _bridge(self, successor: _Waiting, now_s: float) -> Pcm | None:
        """Fill the hole before `successor`, which is there already."""
        hole = successor.media - self._next_media
        if hole < 0:
            # Overlapping packets: a sender that changed its packet length on the way.
            self._next_media = successor.media
            return np.zeros((0, self.channels), np.int16)
        if successor.ext_seq == self._last_seq + 1 or hole > PAUSE_S * SAMPLE_RATE_HZ:
            # No packet is missing (the sender paused), or too many are to invent them.
            self._playing = False
            return None if not self._start(now_s) else np.zeros((0, self.channels), np.int16)
        # What was invented while holding stands for the same time.
        unheard = hole - self._held_samples
        self._held_samples = max(0, self._held_samples - hole)
        if unheard < 120:
            self._next_media = successor.media
            return np.zeros((0, self.channels), np.int16)
        self._next_media = successor.media
        copied = min(unheard, successor.samples) // 120 * 120
        earlier = (unheard - copied) // 120 * 120
        invented = self._invent(earlier) if earlier else np.zeros((0, self.channels), np.int16)
        recovered = self._decoder.recover(successor.payload, copied)
        if recovered is None:
            recovered = self._invent(copied)
        else:
            self._recovered += 1
            self._played += recovered.shape[0]
        return np.concatenate((invented, recovered))

    def _invent(self, samples: int) -> Pcm:
        self._concealed += samples
        self._played += samples
        return self._decoder.conceal(samples)
