"""The grid of ui/design.md §5 with its worked values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ui.stage import layout
from app.ui.stage.layout import COMPACT, ROOMY, Box


@pytest.mark.parametrize(
    ("people", "size"),
    [
        (2, (623, 350)),
        (4, (570, 321)),
        (6, (412, 231)),
        (9, (374, 210)),
        (16, (276, 155)),
        (25, (217, 122)),
    ],
)
def test_tiles_have_the_worked_sizes(people: int, size: tuple[int, int]) -> None:
    assert layout.fit(people, 1256, 652).tile_size_px == size


def test_nine_tiles_stand_where_the_mockup_has_them() -> None:
    boxes, columns = layout.arrange(9, 1280, 676, ROOMY)

    assert columns == 3
    assert boxes[0] == Box(69, 13, 374, 210)
    assert boxes[8] == Box(837, 453, 374, 210)


def test_the_last_row_is_centred() -> None:
    boxes, _ = layout.arrange(5, 960, 492, COMPACT)

    assert boxes[0] == Box(8, 68, 309, 174)
    assert boxes[3].x == 167
    assert boxes[4].x == 484


def test_one_person_is_never_wider_than_the_limit() -> None:
    boxes, _ = layout.arrange(1, 3000, 2000, ROOMY)

    assert boxes[0].width == layout.MAX_TILE_WIDTH_PX


def test_columns_stay_while_another_count_is_barely_better() -> None:
    # 6 people: 3 columns win in a wide area, 2 in a narrow one; between them lies the seam.
    seam = next(w for w in range(1256, 400, -1) if layout.fit(6, w, 652).columns == 2)

    assert layout.fit(6, seam, 652, keep_columns=3).columns == 3
    assert layout.fit(6, seam - 150, 652, keep_columns=3).columns == 2


def test_a_page_holds_what_stays_readable_and_never_more_than_25() -> None:
    assert layout.page_capacity(1280, 676, ROOMY) == 25
    small = layout.page_capacity(640, 312, COMPACT)
    assert layout.fit(small, 624, 296, 8).width_px >= 160
    assert layout.fit(small + 1, 624, 296, 8).width_px < 160


def test_two_people_share_the_stage_as_in_the_mockup() -> None:
    other = layout.fill(1280, 676, ROOMY)

    assert other == Box(50, 12, 1180, 652)
    assert layout.self_view(other, right=True, bottom=True) == Box(962, 508, 256, 144)
    assert layout.self_view(other, right=False, bottom=False) == Box(62, 24, 256, 144)


@given(
    people=st.integers(1, 25),
    width_px=st.integers(200, 4000),
    height_px=st.integers(150, 3000),
    keep=st.integers(0, 25),
)
def test_tiles_lie_inside_the_stage_and_never_overlap(
    people: int, width_px: int, height_px: int, keep: int
) -> None:
    boxes, _ = layout.arrange(people, width_px, height_px, ROOMY, keep_columns=keep)

    assert len(boxes) == people
    for box in boxes:
        if box.width > 1 and box.height > 1:
            assert box.x >= 0
            assert box.y >= 0
            assert box.x + box.width <= width_px
            assert box.y + box.height <= height_px
    for index, one in enumerate(boxes):
        for other in boxes[index + 1 :]:
            apart_x = one.x + one.width <= other.x or other.x + other.width <= one.x
            apart_y = one.y + one.height <= other.y or other.y + other.height <= one.y
            assert apart_x or apart_y
