"""One tile's picture: scaled on a media thread, painted by the interface, newest wins."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from app.media.frames import Picture, plane_bytes
from app.media.play.geometry import Fit, Geometry, tile_geometry
from app.runtime.mailbox import LatestMailbox


@dataclass(frozen=True, slots=True, eq=False)
class TileFrame:
    """BGRA pixels ready to be drawn, exactly as large as asked unless they would be enlarged.

    `data` is flat and C-contiguous; rows start every `stride` bytes (the last row may end
    early). `counter` numbers the frames of this slot from 1. `full_width`, `full_height`,
    `left`, `top` place the shown part in the whole scaled picture.
    """

    width: int
    height: int
    stride: int
    data: NDArray[np.uint8]
    counter: int
    source_width: int
    source_height: int
    ts_rtp: int
    full_width: int
    full_height: int
    left: int
    top: int

    def pixels(self) -> NDArray[np.uint8]:
        """Return the shown part as a view of shape `[height, width, 4]`: blue, green, red, 255."""
        return np.lib.stride_tricks.as_strided(
            self.data, (self.height, self.width, 4), (self.stride, 4, 1), writeable=False
        )


class VideoSlot:
    """Where a tile finds its newest frame.

    `set_target` and `take` are called by the interface, from any thread. `offer` runs on a
    media thread and scales there, with one swscale context per slot. Without a target, or after
    `close`, pictures are counted in `skipped` and cost nothing. `on_ready` is called on the
    media thread when the slot turns from empty to full; frames that nobody took are in `dropped`.
    """

    def __init__(self, on_ready: Callable[[], None] | None = None) -> None:
        self._mailbox: LatestMailbox[TileFrame] = LatestMailbox(on_ready)
        self._target: tuple[int, int, Fit] | None = None
        self._lock = threading.Lock()
        self._reformatter = VideoReformatter()
        self._closed = False
        self.offered = 0
        self.skipped = 0

    @property
    def dropped(self) -> int:
        """Scaled frames that were replaced before anybody took them."""
        return self._mailbox.dropped

    def set_target(self, width_px: int, height_px: int, fit: Fit | str = Fit.COVER) -> None:
        """Say how large the tile is in device pixels; zero stops the scaling."""
        visible = width_px > 0 and height_px > 0
        self._target = (width_px, height_px, Fit(fit)) if visible else None

    @property
    def target_size(self) -> tuple[int, int] | None:
        """How large the tile is in device pixels, None while it is not seen."""
        target = self._target
        return target[:2] if target is not None else None

    def take(self) -> TileFrame | None:
        """Return the newest frame once, or None when there is no new one."""
        return self._mailbox.take()

    def clear(self) -> None:
        """Forget a frame that waits, for instance when the camera was turned off."""
        self._mailbox.take()

    def close(self) -> None:
        """Refuse further pictures; a scaling under way ends first."""
        with self._lock:
            self._closed = True
            self._mailbox.take()

    def offer(self, picture: Picture, ts_rtp: int) -> None:
        """Scale `picture` for the tile and make it the newest."""
        with self._lock:
            target = self._target
            if target is None or self._closed:
                self.skipped += 1
                return
            self.offered += 1
            frame = self._scale(picture, ts_rtp, *target)
        self._mailbox.put(frame)

    def _scale(
        self, picture: Picture, ts_rtp: int, target_width: int, target_height: int, fit: Fit
    ) -> TileFrame:
        sideways = picture.rotation in (90, 270)
        source_width, source_height = picture.width, picture.height
        if sideways:
            source_width, source_height = source_height, source_width
        plan = tile_geometry(source_width, source_height, target_width, target_height, fit)
        width, height = plan.scaled_width, plan.scaled_height
        scaled = self._reformatter.reformat(
            picture.to_frame(),
            width=height if sideways else width,
            height=width if sideways else height,
            format="bgra",
            interpolation=Interpolation.BILINEAR,
            threads=1,
        )
        data, stride = _rows(scaled)
        if picture.rotation:
            data, stride = _turned(data, stride, scaled, picture.rotation)
        return _cut(data, stride, plan, self.offered, (source_width, source_height), ts_rtp)


def _rows(frame: av.VideoFrame) -> tuple[NDArray[np.uint8], int]:
    return plane_bytes(frame), frame.planes[0].line_size


def _turned(
    data: NDArray[np.uint8], stride: int, frame: av.VideoFrame, rotation: int
) -> tuple[NDArray[np.uint8], int]:
    pixels = data.view(np.uint32).reshape(-1, stride // 4)[: frame.height, : frame.width]
    # numpy turns against the clock, a picture's rotation runs with it.
    turned = np.ascontiguousarray(np.rot90(pixels, -(rotation // 90)))
    return turned.view(np.uint8).reshape(-1), turned.shape[1] * 4


def _cut(
    data: NDArray[np.uint8],
    stride: int,
    plan: Geometry,
    counter: int,
    source: tuple[int, int],
    ts_rtp: int,
) -> TileFrame:
    start = plan.top * stride + plan.left * 4
    end = start + (plan.height - 1) * stride + plan.width * 4
    return TileFrame(
        width=plan.width,
        height=plan.height,
        stride=stride,
        data=data[start : min(data.size, max(end, start + plan.height * stride))],
        counter=counter,
        source_width=source[0],
        source_height=source[1],
        ts_rtp=ts_rtp,
        full_width=plan.scaled_width,
        full_height=plan.scaled_height,
        left=plan.left,
        top=plan.top,
    )
