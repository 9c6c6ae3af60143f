"""Pictures and sound as they move between media threads.

A picture is I420 (planar YUV 4:2:0, BT.601 limited range). Sound is `Pcm`: int16, shape
`[samples, channels]`, 48 kHz unless a name says otherwise.
"""

from __future__ import annotations

from typing import TypeAlias, cast

import av
import numpy as np
from numpy.typing import NDArray

Pcm: TypeAlias = NDArray[np.int16]
Bytes: TypeAlias = bytes | bytearray | memoryview | NDArray[np.uint8]

SAMPLE_RATE_HZ = 48_000
BLOCK_SAMPLES = 480  # 10 ms, the unit in which media threads exchange sound


def i420_size_bytes(width: int, height: int) -> int:
    """Size of a contiguous I420 picture; odd edges round the chroma planes up."""
    return width * height + 2 * (((width + 1) // 2) * ((height + 1) // 2))


class Picture:
    """One picture, immutable by agreement: several threads read it at the same time.

    Made from contiguous I420 bytes, or around a decoder's frame; the other form is produced on
    first use, so that a picture that only ever meets swscale is never copied into bytes.
    `rotation` is what the viewer still has to apply, clockwise: 0, 90, 180 or 270 degrees.
    """

    __slots__ = ("_data", "_frame", "height", "rotation", "width")

    def __init__(
        self, width: int, height: int, data: Bytes | av.VideoFrame, rotation: int = 0
    ) -> None:
        self.width = width
        self.height = height
        self.rotation = rotation
        self._data: NDArray[np.uint8] | None = None
        self._frame: av.VideoFrame | None = None
        if isinstance(data, av.VideoFrame):
            self._frame = data
            return
        flat = np.frombuffer(data, dtype=np.uint8)
        if width <= 0 or height <= 0 or flat.size != i420_size_bytes(width, height):
            raise ValueError(f"{flat.size} bytes are no {width}x{height} I420 picture")
        self._data = flat

    @classmethod
    def black(cls, width: int, height: int) -> Picture:
        """A picture without light or colour."""
        data = np.full(i420_size_bytes(width, height), 128, np.uint8)
        data[: width * height] = 16
        return cls(width, height, data)

    @classmethod
    def from_frame(cls, frame: av.VideoFrame, rotation: int = 0) -> Picture:
        """Wrap a decoder's yuv420p frame without copying it."""
        if frame.format.name not in ("yuv420p", "yuvj420p"):
            raise ValueError(f"not I420: {frame.format.name}")
        return cls(frame.width, frame.height, frame, rotation)

    @property
    def data(self) -> NDArray[np.uint8]:
        """Contiguous I420 bytes, one dimension."""
        if self._data is None:
            assert self._frame is not None
            self._data = _flatten(self._frame)
        return self._data

    @property
    def luma(self) -> NDArray[np.uint8]:
        """The Y plane, shape `[height, width]`, without a copy."""
        if self._data is None:
            assert self._frame is not None
            return frame_plane(self._frame, 0, self.width, self.height)
        return self._data[: self.width * self.height].reshape(self.height, self.width)

    def planes(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
        """Y, U and V as two-dimensional views."""
        cw, ch = (self.width + 1) // 2, (self.height + 1) // 2
        if self._data is None:
            frame = self._frame
            assert frame is not None
            return self.luma, frame_plane(frame, 1, cw, ch), frame_plane(frame, 2, cw, ch)
        luma_end = self.width * self.height
        u = self._data[luma_end : luma_end + cw * ch].reshape(ch, cw)
        v = self._data[luma_end + cw * ch :].reshape(ch, cw)
        return self.luma, u, v

    def to_frame(self) -> av.VideoFrame:
        """Return a frame for swscale or an encoder; shared, so nobody writes to it."""
        if self._frame is None:
            frame = av.VideoFrame(self.width, self.height, "yuv420p")
            for index, plane in enumerate(self.planes()):
                rows, columns = plane.shape
                frame_plane(frame, index, columns, rows)[:] = plane
            self._frame = frame
        return self._frame


def plane_bytes(frame: av.VideoFrame, index: int = 0) -> NDArray[np.uint8]:
    """Return the bytes of one plane, padding included, as a flat view that keeps them alive."""
    # PyAV's planes offer the buffer protocol, which its type stubs do not say.
    buffer = cast("memoryview", frame.planes[index])
    return np.frombuffer(buffer, dtype=np.uint8)


def frame_plane(frame: av.VideoFrame, index: int, width: int, height: int) -> NDArray[np.uint8]:
    """Return one plane as a two-dimensional view without its padding."""
    stride = frame.planes[index].line_size
    return plane_bytes(frame, index)[: stride * height].reshape(height, stride)[:, :width]


def _flatten(frame: av.VideoFrame) -> NDArray[np.uint8]:
    cw, ch = (frame.width + 1) // 2, (frame.height + 1) // 2
    flat = np.empty(i420_size_bytes(frame.width, frame.height), dtype=np.uint8)
    luma_end = frame.width * frame.height
    sizes = ((frame.width, frame.height), (cw, ch), (cw, ch))
    start = 0
    for index, (width, height) in enumerate(sizes):
        end = start + width * height
        flat[start:end].reshape(height, width)[:] = frame_plane(frame, index, width, height)
        start = end
    assert start == luma_end + 2 * cw * ch
    return flat
