"""Pixel formats of other people's pictures: any of them to any other, through swscale.

Names are FFmpeg's and tell the order of bytes in memory. YUV is BT.601 limited range, as on
the wire.
"""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import Colorspace, VideoReformatter
from numpy.typing import NDArray

from app.media.frames import Bytes, Picture

# Per plane: (columns divided by, rows divided by, bytes per sample).
_PLANES: dict[str, tuple[tuple[int, int, int], ...]] = {
    "rgba": ((1, 1, 4),),
    "abgr": ((1, 1, 4),),
    "argb": ((1, 1, 4),),
    "bgra": ((1, 1, 4),),
    "rgb24": ((1, 1, 3),),
    "yuv420p": ((1, 1, 1), (2, 2, 1), (2, 2, 1)),
    "yuva420p": ((1, 1, 1), (2, 2, 1), (2, 2, 1), (1, 1, 1)),
    "yuv422p": ((1, 1, 1), (2, 1, 1), (2, 1, 1)),
    "yuv444p": ((1, 1, 1), (1, 1, 1), (1, 1, 1)),
    "yuv420p10le": ((1, 1, 2), (2, 2, 2), (2, 2, 2)),
    "nv12": ((1, 1, 1), (2, 2, 2)),
}


def plane_shapes(layout: str, width: int, height: int) -> list[tuple[int, int]]:
    """Return (bytes per row, rows) of each plane of a tightly packed picture."""
    return [
        (-(-width // columns) * sample_bytes, -(-height // rows))
        for columns, rows, sample_bytes in _PLANES[layout]
    ]


def size_bytes(layout: str, width: int, height: int) -> int:
    """Return the size of a tightly packed picture."""
    return sum(stride * rows for stride, rows in plane_shapes(layout, width, height))


def convert(
    data: Bytes, width: int, height: int, source: str, target: str, *, flip_y: bool = False
) -> NDArray[np.uint8]:
    """Return the picture in another layout, tightly packed, optionally upside down."""
    frame = _to_frame(data, width, height, source)
    if source != target:
        frame = VideoReformatter().reformat(
            frame,
            format=target,
            src_colorspace=Colorspace.ITU601,
            dst_colorspace=Colorspace.ITU601,
        )
    return _from_frame(frame, width, height, target, flip_y)


def turn(picture: Picture) -> Picture:
    """Return the picture upright: turned clockwise by what its `rotation` asks for."""
    quarters = picture.rotation // 90 % 4
    if quarters == 0:
        return picture
    planes = [np.rot90(plane, -quarters) for plane in picture.planes()]
    height, width = planes[0].shape
    return Picture(width, height, np.concatenate([plane.ravel() for plane in planes]))


def _rows(frame: av.VideoFrame, index: int) -> NDArray[np.uint8]:
    plane = frame.planes[index]
    flat = np.frombuffer(memoryview(plane), dtype=np.uint8)
    return flat[: plane.line_size * plane.height].reshape(plane.height, plane.line_size)


def _to_frame(data: Bytes, width: int, height: int, layout: str) -> av.VideoFrame:
    flat = np.frombuffer(data, dtype=np.uint8)
    if flat.size < size_bytes(layout, width, height):
        raise ValueError(f"{flat.size} bytes are no {width}x{height} {layout} picture")
    # WORKAROUND: swscale leaves the last columns unwritten where a row ends within one of its
    # vectors, and the last row of an odd height (seen with PyAV 18.1, 36x20 and 64x21, I420 to
    # BGRA). A larger frame, cropped afterwards, avoids both. Delete when those come out whole.
    frame = av.VideoFrame(-(-width // 32) * 32, height + height % 2, layout)
    start = 0
    for index, (stride, rows) in enumerate(plane_shapes(layout, width, height)):
        end = start + stride * rows
        whole = _rows(frame, index)
        whole[:rows, :stride] = flat[start:end].reshape(rows, stride)
        # Scaling chroma reads beyond the edges: repeat the last pixels there.
        sample_bytes = _PLANES[layout][index][2]
        beyond = (whole.shape[1] - stride) // sample_bytes
        edge = whole[:rows, stride - sample_bytes : stride]
        whole[:rows, stride : stride + beyond * sample_bytes] = np.tile(edge, (1, beyond))
        whole[rows:] = whole[rows - 1]
        start = end
    return frame


def _from_frame(
    frame: av.VideoFrame, width: int, height: int, layout: str, flip_y: bool
) -> NDArray[np.uint8]:
    flat = np.empty(size_bytes(layout, width, height), dtype=np.uint8)
    start = 0
    for index, (stride, rows) in enumerate(plane_shapes(layout, width, height)):
        end = start + stride * rows
        plane = _rows(frame, index)[:rows, :stride]
        flat[start:end].reshape(rows, stride)[:] = plane[::-1] if flip_y else plane
        start = end
    return flat
