"""From a source to the wire: encode on the media thread, hand over on the room's loop."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Sequence

from app.media.encode.audio import OpusEncoder
from app.media.encode.video import LayerSpec, VideoEncodeThread
from app.media.frames import Pcm, Picture
from app.media.process.levels import level_dbov
from app.protocol.rtp.encoded import EncodedVideoFrame
from app.rtc.rtp_sender import AudioRtpSender, VideoRtpSender

TS_MODULUS = 1 << 32


class AudioUplink:
    """Encodes one published track's sound.

    `feed` is called on the source's thread with exactly 20 ms, `position` being the number of
    samples since the source began, pauses included. While muted nothing is encoded or sent.
    """

    def __init__(
        self,
        sender: AudioRtpSender,
        loop: asyncio.AbstractEventLoop,
        *,
        channels: int,
        bitrate_bps: int,
    ) -> None:
        self.sender = sender
        self.muted = False
        self._loop = loop
        self._encoder = OpusEncoder(channels=channels, bitrate_bps=bitrate_bps)
        self._ts_base = random.getrandbits(32)
        self._expected = -1

    def feed(self, pcm: Pcm, position: int) -> None:
        """Encode and send 20 ms."""
        if self.muted:
            return
        payload = self._encoder.encode(pcm)
        # RFC 3551: the marker tells a receiver that silence ended here.
        marker = position != self._expected
        self._expected = position + len(pcm)
        ts_rtp = (self._ts_base + position) % TS_MODULUS
        with contextlib.suppress(RuntimeError):  # the loop may have closed under a running source
            self._loop.call_soon_threadsafe(self._send, payload, ts_rtp, level_dbov(pcm), marker)

    def _send(self, payload: bytes, ts_rtp: int, level: int, marker: bool) -> None:
        if not self.muted:
            self.sender.send(payload, ts_rtp, level_dbov=level, marker=marker)


class VideoUplink:
    """Encodes one published track's pictures in all its layers.

    `submit` may be called from any thread; the newest picture wins.
    """

    def __init__(
        self,
        sender: VideoRtpSender,
        loop: asyncio.AbstractEventLoop,
        *,
        layers: Sequence[LayerSpec],
        codec: str,
    ) -> None:
        self.sender = sender
        self.codec = codec
        self.muted = False
        self._loop = loop
        self._layer_count = len(layers)
        self._ts_base = random.getrandbits(32)
        self._encoder = VideoEncodeThread(layers, self._on_encoded, codec)
        sender.on_keyframe_request = self._encoder.force_keyframe
        sender.on_target_bitrate = self._encoder.set_target_bitrate

    def submit(self, picture: Picture, time_us: int) -> None:
        """Encode and send a picture taken at `time_us`."""
        if not self.muted:
            self._encoder.submit(picture, (self._ts_base + time_us * 9 // 100) % TS_MODULUS)

    def force_keyframes(self) -> None:
        """Let every layer start afresh."""
        for layer in range(self._layer_count):
            self._encoder.force_keyframe(layer)

    def set_layer_enabled(self, layer: int, enabled: bool) -> None:
        """Encode a layer or leave it out."""
        if layer < self._layer_count:
            self._encoder.set_layer_enabled(layer, enabled)

    @property
    def layer_count(self) -> int:
        """How many layers there are."""
        return self._layer_count

    def _on_encoded(self, layer: int, frame: EncodedVideoFrame) -> None:
        with contextlib.suppress(RuntimeError):  # the loop may have closed under a running source
            self._loop.call_soon_threadsafe(self._send, layer, frame)

    def _send(self, layer: int, frame: EncodedVideoFrame) -> None:
        if not self.muted:
            self.sender.send(layer, frame)

    def close(self) -> None:
        """Stop encoding."""
        self.sender.on_keyframe_request = None
        self.sender.on_target_bitrate = None
        self._encoder.close()
