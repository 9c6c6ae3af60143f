"""A tile's frame as an image: without a copy, without colour, cut or fitted to the tile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QRectF
from PySide6.QtGui import QImage

if TYPE_CHECKING:
    from app.media.play.video_slot import TileFrame


def as_image(frame: TileFrame) -> QImage:
    """Wrap the frame's bytes, which the caller keeps as long as the image."""
    return QImage(
        memoryview(frame.data),  # type: ignore[arg-type]  # numpy's stubs need Python 3.12 for it
        frame.width,
        frame.height,
        frame.stride,
        QImage.Format.Format_RGB32,
    )


def grey(frame: TileFrame) -> QImage:
    """Take most of the colour and a third of the light away; once per reconnect, not per frame."""
    import numpy as np

    bgr = frame.pixels()[:, :, :3].astype(np.uint16)
    grey = (bgr[:, :, 0] * 29 + bgr[:, :, 1] * 150 + bgr[:, :, 2] * 77) >> 8
    mixed = (bgr * 35 + grey[:, :, None] * 65) // 100
    pixels = np.full((frame.height, frame.width, 4), 255, dtype=np.uint8)
    pixels[:, :, :3] = (mixed * 62) // 100
    return QImage(
        pixels.tobytes(),
        frame.width,
        frame.height,
        frame.width * 4,
        QImage.Format.Format_RGB32,
    ).copy()


def covering(box: QRectF, image: QImage) -> QRectF:
    """The part of `image` that has the shape of `box`."""
    scale = max(box.width() / image.width(), box.height() / image.height())
    width, height = box.width() / scale, box.height() / scale
    return QRectF((image.width() - width) / 2, (image.height() - height) / 2, width, height)


def fitted(box: QRectF, image: QImage) -> QRectF:
    """The part of `box` that has the shape of `image`."""
    scale = min(box.width() / image.width(), box.height() / image.height())
    target = QRectF(0, 0, image.width() * scale, image.height() * scale)
    target.moveCenter(box.center())
    return target
