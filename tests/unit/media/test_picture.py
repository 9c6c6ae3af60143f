"""Pictures keep their bytes whichever form they are in."""

from __future__ import annotations

import numpy as np
import pytest

from app.media.capture.generated import draw_picture
from app.media.frames import Picture, i420_size_bytes


@pytest.mark.parametrize(("width", "height"), [(640, 360), (321, 181), (2, 2), (1, 1)])
def test_bytes_survive_the_way_through_a_frame(width: int, height: int) -> None:
    rng = np.random.default_rng(0)
    data = rng.integers(0, 256, i420_size_bytes(width, height), dtype=np.uint8)

    back = Picture.from_frame(Picture(width, height, data).to_frame())

    assert (back.width, back.height) == (width, height)
    assert np.array_equal(back.data, data)
    for plane, original in zip(back.planes(), Picture(width, height, data).planes(), strict=True):
        assert np.array_equal(plane, original)


def test_bytes_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="I420"):
        Picture(640, 360, b"\x00" * 100)
    with pytest.raises(ValueError, match="I420"):
        Picture(0, 0, b"")


def test_a_picture_is_not_copied_until_somebody_wants_bytes() -> None:
    frame = draw_picture((10, 20, 30), 64, 64, 1).to_frame()

    assert Picture.from_frame(frame).to_frame() is frame
