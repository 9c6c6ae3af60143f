"""One thread per picture source that encodes all of its layers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
import structlog
from av.video.frame import PictureType
from av.video.reformatter import Interpolation, VideoReformatter

from app.media.encode.rates import LayerSpec, RebuildGate, share_bitrate
from app.media.frames import Picture
from app.media.threads import MediaThread
from app.protocol.rtp.encoded import EncodedVideoFrame
from app.runtime.mailbox import LatestMailbox

__all__ = ["LayerEncoder", "LayerSpec", "VideoEncodeStats", "VideoEncodeThread"]

log = structlog.get_logger(__name__)

CLOCK_RATE_HZ = 90_000
KEYFRAME_INTERVAL_FRAMES = 3_000
TS_MODULUS = 1 << 32


@dataclass(frozen=True, slots=True)
class VideoEncodeStats:
    """Counts since the thread was started; per layer in the order of the specs."""

    submitted: int
    dropped: int
    encoded: tuple[int, ...]
    keyframes: tuple[int, ...]
    size_bytes: tuple[int, ...]
    rebuilds: int


class VideoEncodeThread:
    """Encodes pictures of one source, newest first, into one or more layers.

    `submit`, `force_keyframe`, `set_layer_enabled` and `set_target_bitrate` may be called from
    any thread. `on_encoded(layer, frame)` runs on the encode thread; `layer` is the index in
    `layers`. A picture that comes while the last one is being encoded waits; one that comes
    on top of that replaces it and is counted as dropped. Pictures are scaled to fit a layer's
    box, keeping their shape, and never enlarged.
    """

    def __init__(
        self,
        layers: Sequence[LayerSpec],
        on_encoded: Callable[[int, EncodedVideoFrame], None],
        codec: str = "VP8",
    ) -> None:
        if not layers:
            raise ValueError("no layers")
        self._codec = codec.upper()
        self._on_encoded = on_encoded
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._mailbox: LatestMailbox[tuple[Picture, int]] = LatestMailbox(self._wake.set)
        self._specs = tuple(layers)
        self._encoders = [LayerEncoder(spec, self._codec) for spec in layers]
        self._enabled = [True] * len(layers)
        self._affordable = [True] * len(layers)
        self._keyframe_wanted = [False] * len(layers)
        self._bitrates_bps = [spec.bitrate_bps for spec in layers]
        # Big layers first: each smaller one is scaled from the next bigger, not from the source.
        self._order = sorted(range(len(layers)), key=lambda i: -layers[i].width * layers[i].height)
        self._submitted = 0
        self._thread = MediaThread("encode", self._run)
        self._thread.start()

    def submit(self, picture: Picture, ts_rtp: int) -> None:
        """Hand over the newest picture; `ts_rtp` runs at 90 kHz, 32 bits."""
        self._submitted += 1
        self._mailbox.put((picture, ts_rtp))

    def force_keyframe(self, layer: int) -> None:
        """Make the next frame of `layer` a keyframe."""
        with self._lock:
            self._keyframe_wanted[layer] = True

    def set_layer_enabled(self, layer: int, enabled: bool) -> None:
        """Encode or skip a layer; a layer that comes back starts with a keyframe."""
        with self._lock:
            if enabled and not self._enabled[layer]:
                self._keyframe_wanted[layer] = True
            self._enabled[layer] = enabled

    def set_target_bitrate(self, total_bps: int) -> None:
        """Fit all layers into `total_bps`: leave layers out first, then lower bit rates."""
        shares = share_bitrate(self._specs, total_bps)
        with self._lock:
            for layer, share_bps in enumerate(shares):
                if share_bps and not self._affordable[layer]:
                    self._keyframe_wanted[layer] = True
                self._affordable[layer] = share_bps > 0
                if share_bps:
                    self._bitrates_bps[layer] = share_bps

    def stats(self) -> VideoEncodeStats:
        """Return the counts so far."""
        return VideoEncodeStats(
            submitted=self._submitted,
            dropped=self._mailbox.dropped,
            encoded=tuple(e.encoded for e in self._encoders),
            keyframes=tuple(e.keyframes for e in self._encoders),
            size_bytes=tuple(e.size_bytes for e in self._encoders),
            rebuilds=sum(e.rebuilds for e in self._encoders),
        )

    def close(self) -> None:
        """Stop the thread; `on_encoded` is not called after this returns."""
        self._thread.stop(self._wake.set)

    def _run(self, thread: MediaThread) -> None:
        while not thread.stopping.is_set():
            self._wake.wait()
            self._wake.clear()
            item = self._mailbox.take()
            if item is None:
                continue
            picture, ts_rtp = item
            try:
                self._encode_all(picture, ts_rtp, thread)
            except (av.FFmpegError, ValueError):
                # This picture is lost; the next one gets fresh encoders.
                log.exception("encoding failed")
                for encoder in self._encoders:
                    encoder.reset()

    def _encode_all(self, picture: Picture, ts_rtp: int, thread: MediaThread) -> None:
        larger = picture.to_frame()
        for layer in self._order:
            if thread.stopping.is_set():
                return
            with self._lock:
                if not (self._enabled[layer] and self._affordable[layer]):
                    continue
                force = self._keyframe_wanted[layer]
                bitrate_bps = self._bitrates_bps[layer]
            encoder = self._encoders[layer]
            scaled = encoder.scale(larger)
            encoded = encoder.encode(
                scaled, ts_rtp, force=force, bitrate_bps=bitrate_bps, now_s=time.monotonic()
            )
            larger = scaled
            if encoded is None:
                continue
            if encoded.keyframe:
                with self._lock:
                    self._keyframe_wanted[layer] = False
            self._on_encoded(layer, encoded)


class LayerEncoder:
    """The encoder of one layer; belongs to the encode thread."""

    def __init__(self, spec: LayerSpec, codec: str) -> None:
        if codec not in ("VP8", "H264"):
            raise NotImplementedError(f"encoding {codec}")
        self._spec = spec
        self._codec = codec
        self._reformatter = VideoReformatter()
        self._context: av.VideoCodecContext | None = None
        self._gate = RebuildGate(spec.bitrate_bps)
        self._first_ts: int | None = None
        self._last_ts = 0
        self._pts = 0
        self._due_pts = 0.0
        self.encoded = 0
        self.keyframes = 0
        self.size_bytes = 0
        self.rebuilds = 0

    def reset(self) -> None:
        """Drop the codec; the next frame opens a new one and is a keyframe."""
        self._context = None

    def scale(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Fit `frame` into this layer's box, keeping its shape, with even edges."""
        width, height = fit_box(frame.width, frame.height, self._spec.width, self._spec.height)
        return self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="yuv420p",
            interpolation=Interpolation.BILINEAR,
            threads=1,
        )

    def encode(
        self, frame: av.VideoFrame, ts_rtp: int, *, force: bool, bitrate_bps: int, now_s: float
    ) -> EncodedVideoFrame | None:
        """Encode one scaled frame, or skip it when this layer runs at a lower frame rate."""
        pts = self._advance(ts_rtp)
        if not force and not self._is_due(pts):
            return None
        context = self._open(frame, bitrate_bps, now_s)
        frame.pts = pts
        frame.time_base = Fraction(1, CLOCK_RATE_HZ)
        frame.pict_type = PictureType.I if force else PictureType.NONE
        packets = context.encode(frame)
        data = b"".join(bytes(packet) for packet in packets)
        if not data:
            return None  # the rate control left this frame out
        keyframe = any(packet.is_keyframe for packet in packets)
        self.encoded += 1
        self.keyframes += keyframe
        self.size_bytes += len(data)
        return EncodedVideoFrame(
            codec=self._codec,
            data=data,
            ts_rtp=ts_rtp,
            keyframe=keyframe,
            width=frame.width,
            height=frame.height,
        )

    def _advance(self, ts_rtp: int) -> int:
        if self._first_ts is None:
            self._first_ts = self._last_ts = ts_rtp
            return 0
        step = (ts_rtp - self._last_ts) % TS_MODULUS
        self._last_ts = ts_rtp
        # Encoders refuse a timestamp that repeats or runs backwards.
        self._pts += step if 0 < step < TS_MODULUS // 2 else 1
        return self._pts

    def _is_due(self, pts: int) -> bool:
        interval = CLOCK_RATE_HZ / self._spec.fps
        # Some grace, since a camera's frames never come quite evenly.
        if pts <= self._due_pts - interval / 3:
            return False
        self._due_pts = max(self._due_pts + interval, pts)
        return True

    def _open(self, frame: av.VideoFrame, bitrate_bps: int, now_s: float) -> av.VideoCodecContext:
        context = self._context
        if context is not None:
            same_size = (context.width, context.height) == (frame.width, frame.height)
            if same_size and not self._gate.offer(bitrate_bps, now_s):
                return context
            self.rebuilds += 1
        self._gate.settle(bitrate_bps, now_s)
        self._context = open_encoder(
            self._codec, frame.width, frame.height, bitrate_bps, self._spec.fps
        )
        return self._context


def fit_box(width: int, height: int, box_width: int, box_height: int) -> tuple[int, int]:
    """Return the largest even size of the same shape inside the box, never larger than given."""
    factor = min(1.0, box_width / width, box_height / height)
    if factor == 1.0 and width % 2 == 0 and height % 2 == 0:
        return width, height
    return max(2, int(width * factor + 0.5) & ~1), max(2, int(height * factor + 0.5) & ~1)


def open_encoder(
    codec: str, width: int, height: int, bitrate_bps: int, fps: float
) -> av.VideoCodecContext:
    """Open libvpx or libx264 for live use: one thread, no look-ahead, constant bit rate."""
    options = {
        "maxrate": str(bitrate_bps),
        "bufsize": str(bitrate_bps // 2),
    }
    if codec == "VP8":
        name = "libvpx"
        options |= {
            "minrate": str(bitrate_bps),
            "deadline": "realtime",
            "cpu-used": "-8",
            "noise-sensitivity": "0",
            "lag-in-frames": "0",
            "static-thresh": "1",
            "undershoot-pct": "100",
            "overshoot-pct": "15",
            "qmin": "2",
            "qmax": "56",
        }
    else:
        name = "libx264"
        options |= {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline"}
    context = av.VideoCodecContext.create(name, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width = width
    context.height = height
    context.pix_fmt = "yuv420p"
    context.time_base = Fraction(1, CLOCK_RATE_HZ)
    context.framerate = Fraction(fps).limit_denominator(1001)
    context.bit_rate = bitrate_bps
    context.gop_size = KEYFRAME_INTERVAL_FRAMES
    context.thread_count = 1
    context.options = options
    return context
