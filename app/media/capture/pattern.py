"""A number drawn into a picture so that it can still be read after a lossy codec.

32 black or white cells in two rows of 16, across the middle half and below the centre, where
neither a tile's cut nor a name plate reaches. 24 bits of number, 8 bits of check: a smeared
picture reads as None rather than as a wrong number.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from app.media.frames import Picture
from app.media.play.video_slot import TileFrame

COLUMNS = 16
ROWS = 2
LEFT, RIGHT = 0.25, 0.75
TOP, BOTTOM = 0.60, 0.78
BLACK, WHITE = 16, 235
LEAST_CONTRAST = 60.0
COUNTER_MODULUS = 1 << 24
CHECK_MASK = 0x5A


def draw_counter(luma: NDArray[np.uint8], counter: int) -> None:
    """Draw `counter` (modulo 2^24) into a writable Y plane."""
    height, width = luma.shape
    columns = _edges(LEFT, RIGHT, COLUMNS, width)
    rows = _edges(TOP, BOTTOM, ROWS, height)
    bits = _bits(counter % COUNTER_MODULUS)
    for index, bit in enumerate(bits):
        row, column = divmod(index, COLUMNS)
        cell = luma[rows[row] : rows[row + 1], columns[column] : columns[column + 1]]
        cell[:] = WHITE if bit else BLACK


def read_counter(picture: Picture | TileFrame) -> int | None:
    """Read the number back, from a whole picture or from a tile that shows the cells."""
    if isinstance(picture, Picture):
        return read_cells(picture.luma, picture.width, picture.height)
    green = picture.pixels()[:, :, 1]
    return read_cells(
        green, picture.full_width, picture.full_height, left=picture.left, top=picture.top
    )


def read_cells(
    luma: NDArray[np.uint8], full_width: int, full_height: int, *, left: int = 0, top: int = 0
) -> int | None:
    """Read from any plane of brightness that shows `full_*` from `left`, `top` on."""
    columns = _edges(LEFT, RIGHT, COLUMNS, full_width)
    rows = _edges(TOP, BOTTOM, ROWS, full_height)
    cells = np.empty(ROWS * COLUMNS)
    for index in range(ROWS * COLUMNS):
        row, column = divmod(index, COLUMNS)
        y0, y1 = (edge - top for edge in _inner(rows[row], rows[row + 1]))
        x0, x1 = (edge - left for edge in _inner(columns[column], columns[column + 1]))
        if y0 < 0 or x0 < 0 or y1 > luma.shape[0] or x1 > luma.shape[1]:
            return None
        cells[index] = luma[y0:y1, x0:x1].mean()
    low, high = float(cells.min()), float(cells.max())
    if high - low < LEAST_CONTRAST:
        return None
    bits = cells > (low + high) / 2
    value = int(np.packbits(bits).view(">u4")[0])
    counter = value >> 8
    return counter if value & 0xFF == _check(counter) else None


def _bits(counter: int) -> NDArray[np.uint8]:
    value = counter << 8 | _check(counter)
    return np.unpackbits(np.frombuffer(value.to_bytes(4, "big"), np.uint8))


def _check(counter: int) -> int:
    # Turned over in part, so that neither the first nor the last number is all one shade.
    return (zlib.crc32(counter.to_bytes(3, "big")) ^ CHECK_MASK) & 0xFF


def _edges(start: float, end: float, count: int, size: int) -> list[int]:
    return [round(size * (start + (end - start) * i / count)) for i in range(count + 1)]


def _inner(start: int, end: int) -> tuple[int, int]:
    margin = (end - start) // 4
    return start + margin, max(start + margin + 1, end - margin)
