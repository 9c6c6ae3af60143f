"""Generated people: counted pictures, continuous tones, at their pace."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from app.media.capture.generated import GeneratedTone, GeneratedVideo, draw_picture, read_counter
from app.media.frames import Pcm
from tests.support.pictures import PictureLog, wait_until
from tests.support.signals import colour_distance, picture_colour, tone_peak


def test_pictures_come_counted_with_rising_timestamps() -> None:
    log = PictureLog()
    video = GeneratedVideo((20, 90, 200), log, fps=60)
    video.start()
    log.wait_for(8)
    video.close()
    count = len(log.pictures)

    assert [read_counter(picture) for picture, _ in log.pictures] == list(range(1, count + 1))
    assert all(picture.width == 640 and picture.height == 360 for picture, _ in log.pictures)
    steps = [(b - a) % (1 << 32) for (_, a), (_, b) in pairwise(log.pictures)]
    assert all(0 < step < 90_000 for step in steps)


@pytest.mark.parametrize("colour", [(220, 40, 40), (40, 180, 60), (30, 60, 220), (240, 240, 240)])
def test_a_person_has_their_colour(colour: tuple[int, int, int]) -> None:
    assert colour_distance(picture_colour(draw_picture(colour, 640, 360, 9)), colour) <= 4


def test_something_moves_in_the_picture() -> None:
    one, two = (draw_picture((90, 90, 90), 640, 360, n).luma for n in (1, 2))

    assert not np.array_equal(one[30:90], two[30:90])


def test_a_tone_has_no_seams() -> None:
    blocks: list[Pcm] = []
    source = GeneratedTone(550, blocks.append)
    source.start()
    wait_until(lambda: len(blocks) >= 60)
    source.close()
    sound = np.concatenate(blocks)

    assert all(block.shape == (480, 1) for block in blocks)
    assert tone_peak(sound).is_tone(550, within_hz=2, least_db=60)


def test_odd_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="odd"):
        GeneratedVideo((0, 0, 0), PictureLog(), size=(641, 360))
