"""Opus decoders: libopus itself where it can be reached, else PyAV's with a concealment of ours.

Only libopus can decode the redundant copy of a lost packet that the next one carries, and only
it knows how to go on plausibly without one; PyAV's interface has neither.

Decisions: libopus through ctypes, because PyAV's wheels already carry the library and a binding
of our own would need a compiler. Deletable when PyAV offers `decode_fec`.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import sys
from pathlib import Path
from typing import Protocol

import av
import numpy as np
import structlog

from app.media.decode.stretch import best_lag
from app.media.frames import SAMPLE_RATE_HZ, Pcm
from app.protocol.errors import ProtocolError

log = structlog.get_logger(__name__)

MAX_PACKET_SAMPLES = 5_760  # 120 ms, RFC 6716 section 3.2.5
CONCEAL_FADE_SAMPLES = 4_800
CELT_ONLY_CONFIG = 16


def packet_samples(payload: bytes) -> int:
    """Return how many 48 kHz samples per channel a packet holds (RFC 6716 section 3.1)."""
    if not payload:
        raise ProtocolError("empty Opus packet")
    toc = payload[0]
    config = toc >> 3
    if config < 12:
        frame_samples = (480, 960, 1_920, 2_880)[config & 3]
    elif config < 16:
        frame_samples = (480, 960)[config & 1]
    else:
        frame_samples = (120, 240, 480, 960)[config & 3]
    code = toc & 3
    if code == 3:
        if len(payload) < 2:
            raise ProtocolError("Opus packet without its frame count")
        frames = payload[1] & 0x3F
    else:
        frames = 1 if code == 0 else 2
    samples = frame_samples * frames
    if not 0 < samples <= MAX_PACKET_SAMPLES:
        raise ProtocolError("Opus packet longer than 120 ms")
    return samples


class OpusDecoder(Protocol):
    """One stream's decoder; used by one thread at a time."""

    def decode(self, payload: bytes) -> Pcm:
        """Decode a packet; raises ProtocolError for one that is none."""

    def recover(self, next_payload: bytes, samples: int) -> Pcm | None:
        """Decode the copy of a lost packet that its successor carries, or return None."""

    def conceal(self, samples: int) -> Pcm:
        """Go on plausibly for `samples`, a multiple of 120."""


def open_decoder(channels: int) -> OpusDecoder:
    """Open the best decoder that this machine has."""
    library = _libopus()
    if library is not None:
        return LibOpusDecoder(library, channels)
    return PyAvOpusDecoder(channels)


@functools.cache
def _libopus() -> ctypes.CDLL | None:
    for path in _library_candidates():
        try:
            library = ctypes.CDLL(path)
            library.opus_decoder_create.restype = ctypes.c_void_p
            library.opus_decoder_create.argtypes = (
                ctypes.c_int32,
                ctypes.c_int,
                ctypes.POINTER(ctypes.c_int),
            )
            library.opus_decoder_destroy.argtypes = (ctypes.c_void_p,)
            library.opus_decoder_destroy.restype = None
            library.opus_decode.restype = ctypes.c_int
            library.opus_decode.argtypes = (
                ctypes.c_void_p,
                ctypes.c_char_p,
                ctypes.c_int32,
                ctypes.c_void_p,
                ctypes.c_int,
                ctypes.c_int,
            )
        except (OSError, AttributeError):
            continue
        return library
    log.warning("libopus not found, concealing lost audio without it")
    return None


def _library_candidates() -> list[str]:
    package = Path(av.__file__).parent
    bundled = [
        *package.parent.glob("av.libs/*opus*"),
        *package.glob(".dylibs/*opus*"),
    ]
    # libopusenc and libopusfile would match as well, but have no decoder.
    candidates = [str(path) for path in sorted(bundled) if "opusfile" not in path.name]
    if sys.platform == "linux":
        candidates.append("libopus.so.0")
    elif found := ctypes.util.find_library("opus"):
        candidates.append(found)
    return candidates


class LibOpusDecoder:
    """libopus through ctypes; its calls release the interpreter lock."""

    def __init__(self, library: ctypes.CDLL, channels: int) -> None:
        error = ctypes.c_int()
        self._library = library
        self._channels = channels
        self._state = library.opus_decoder_create(SAMPLE_RATE_HZ, channels, ctypes.byref(error))
        if not self._state:
            raise RuntimeError(f"opus_decoder_create: {error.value}")

    def __del__(self) -> None:
        state, self._state = getattr(self, "_state", None), None
        if state:
            self._library.opus_decoder_destroy(state)

    def decode(self, payload: bytes) -> Pcm:
        """Decode a packet; raises ProtocolError for one that is none."""
        pcm = self._call(payload, packet_samples(payload), fec=False)
        if pcm is None:
            raise ProtocolError("undecodable Opus packet")
        return pcm

    def recover(self, next_payload: bytes, samples: int) -> Pcm | None:
        """Decode the copy of a lost packet, or return None when its successor has none."""
        return self._call(next_payload, samples, fec=True) if self._has_copy(next_payload) else None

    def _has_copy(self, payload: bytes) -> bool:
        # Asked for a copy that is not there, libopus conceals without saying so.
        if payload[0] >> 3 >= CELT_ONLY_CONFIG:
            return False
        ask = getattr(self._library, "opus_packet_has_lbrr", None)  # since libopus 1.5
        return ask is None or ask(payload, len(payload)) == 1

    def conceal(self, samples: int) -> Pcm:
        """Let libopus go on without a packet; it fades out by itself."""
        pcm = self._call(None, samples, fec=False)
        return np.zeros((samples, self._channels), np.int16) if pcm is None else pcm

    def _call(self, payload: bytes | None, samples: int, *, fec: bool) -> Pcm | None:
        pcm = np.empty((samples, self._channels), np.int16)
        size_bytes = 0 if payload is None else len(payload)
        decoded = self._library.opus_decode(
            self._state, payload, size_bytes, pcm.ctypes.data, samples, int(fec)
        )
        return pcm[:decoded] if decoded > 0 else None


class PyAvOpusDecoder:
    """FFmpeg's decoder, and the last pitch period repeated with a fade where packets lack."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._open()
        self._history = np.zeros((960, channels), np.int16)
        self._concealed = 0

    def _open(self) -> None:
        context = av.AudioCodecContext.create("libopus", "r")
        assert isinstance(context, av.AudioCodecContext)
        context.sample_rate = SAMPLE_RATE_HZ
        context.layout = "mono" if self._channels == 1 else "stereo"
        self._context = context
        self._resampler = av.AudioResampler("s16", context.layout, SAMPLE_RATE_HZ)

    def decode(self, payload: bytes) -> Pcm:
        """Decode a packet; raises ProtocolError for one that is none."""
        samples = packet_samples(payload)
        try:
            frames = [
                converted
                for frame in self._context.decode(av.Packet(payload))
                for converted in self._resampler.resample(frame)
            ]
        except av.FFmpegError as error:
            self._open()
            raise ProtocolError("undecodable Opus packet") from error
        parts = [frame.to_ndarray().reshape(-1, self._channels) for frame in frames]
        pcm = np.concatenate(parts) if parts else np.zeros((samples, self._channels), np.int16)
        self._concealed = 0
        self._history = np.concatenate((self._history, pcm))[-960:]
        return np.ascontiguousarray(pcm, dtype=np.int16)

    def recover(self, next_payload: bytes, samples: int) -> Pcm | None:
        """Return None: PyAV has no way to ask for the copy."""
        return None

    def conceal(self, samples: int) -> Pcm:
        """Repeat the last pitch period, down to silence in 100 ms."""
        lag = best_lag(self._history[::-1]).lag_samples
        period = self._history[-lag:]
        start = self._concealed % lag
        index = (start + np.arange(samples)) % lag
        gain = 1.0 - (self._concealed + np.arange(samples)) / CONCEAL_FADE_SAMPLES
        self._concealed += samples
        return (period[index] * np.maximum(gain, 0.0)[:, None]).astype(np.int16)
