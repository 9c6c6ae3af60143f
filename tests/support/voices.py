"""Voices over a shaped link, in virtual time: encode, suffer, play."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from app.media.capture.generated import tone
from app.media.decode.audio import AudioReceiveStats, AudioReceiveStream
from app.media.encode.audio import FRAME_SAMPLES, OpusEncoder
from app.media.frames import BLOCK_SAMPLES, SAMPLE_RATE_HZ, Pcm
from app.protocol.rtp.encoded import AudioPacket
from tests.support.link import Conditions, ShapedLink

BLOCK_S = 0.010
START_S = 1_000.0
# Near their ends, so that every run crosses the wrap of both counters.
FIRST_SEQ = 65_500
FIRST_TS = (1 << 32) - 48_000


@dataclass(frozen=True, slots=True)
class Heard:
    """What a listener heard, from the moment of sending the first packet on."""

    pcm: Pcm
    stats: AudioReceiveStats
    lost_share: float


def voice_like(seconds: float) -> Pcm:
    """Return a gliding, pulsing harmonic sound that Opus takes for a voice."""
    at_s = np.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    loudness = np.clip(np.sin(2 * np.pi * 3 * at_s), 0, 1)
    pitch_hz = 140 + 30 * np.sin(2 * np.pi * 0.5 * at_s)
    phase = np.cumsum(2 * np.pi * pitch_hz / SAMPLE_RATE_HZ)
    harmonics = np.sum([np.sin(n * phase) / n for n in range(1, 12)], axis=0)
    noise = np.random.default_rng(0).normal(0, 50, at_s.size)
    voice: Pcm = (loudness * harmonics * 5_000 + noise).astype(np.int16)[:, None]
    return voice


def steady_tone(seconds: float, freq_hz: float = 440.0) -> Pcm:
    """Return a sine."""
    return tone(freq_hz, int(seconds * SAMPLE_RATE_HZ))


def listen(
    sound: Pcm,
    conditions: Conditions,
    seed: int,
    *,
    fec: bool = True,
    is_sent: Callable[[int], bool] = lambda number: True,
    clock_rate: float = 1.0,
) -> Heard:
    """Send `sound` over a link and play it; `is_sent` may hold back single packets.

    `clock_rate` is how fast the listener's device consumes sound, 1 being the sender's pace.
    """
    print(f"link {conditions.name}, seed {seed}")
    encoder = OpusEncoder(fec=fec)
    stream = AudioReceiveStream()
    link: ShapedLink[AudioPacket] = ShapedLink(conditions, seed)
    heard: list[Pcm] = []
    consumed = 0
    for block in range(sound.shape[0] // BLOCK_SAMPLES):
        now_s = START_S + block * BLOCK_S
        number, is_second_half = divmod(block, 2)
        if not is_second_half:
            start = number * FRAME_SAMPLES
            payload = encoder.encode(sound[start : start + FRAME_SAMPLES])
            seq = (FIRST_SEQ + number) % 0x10000
            ts_rtp = (FIRST_TS + start) % (1 << 32)
            if is_sent(number):
                link.send(AudioPacket(seq, ts_rtp, payload, 0.0), now_s, len(payload))
        for arrival_s, packet in link.receive(now_s):
            stream.put(AudioPacket(packet.seq, packet.ts_rtp, packet.payload, arrival_s))
        while consumed * BLOCK_S < (block + 1) * BLOCK_S * clock_rate:
            heard.append(stream.pull(BLOCK_SAMPLES, now_s))
            consumed += 1
    return Heard(np.concatenate(heard), stream.stats(), link.lost / max(1, link.sent))
