"""Where tiles go: pure geometry, no widgets.

`fit` finds the largest 16:9 tile for a number of people in an area, `arrange` turns it into
rectangles with a centred last row, `page_capacity` says how many people one page may hold.
A window that is being dragged keeps its column count until another one is clearly better
(`KEEP_COLUMNS_RATIO`), so that tiles do not jump between two equally good arrangements.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor
from typing import NamedTuple

ASPECT = 16 / 9
MAX_TILE_WIDTH_PX = 960
MAX_PEOPLE_PER_PAGE = 25
KEEP_COLUMNS_RATIO = 1.08
# Rounding errors of w = h * 16 / 9 and back must not cost a pixel row.
_EPSILON = 1e-6
_TIE_PX = 0.5
# Two people: the other fills the stage, but a strip wider than this would cut heads off.
_FILL_ASPECT = 1180 / 652

SELF_VIEW_SIZE_PX = (256, 144)
SELF_VIEW_MARGIN_PX = 12


class Box(NamedTuple):
    """A rectangle in logical pixels, relative to the stage."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Spacing:
    """What differs between a roomy and a compact stage, in logical pixels."""

    padding_px: int
    gap_px: int
    min_tile_width_px: int


ROOMY = Spacing(padding_px=12, gap_px=10, min_tile_width_px=200)
COMPACT = Spacing(padding_px=8, gap_px=8, min_tile_width_px=160)


@dataclass(frozen=True, slots=True)
class Fit:
    """The chosen arrangement; `width_px` is exact, `tile_size_px` is what tiles get."""

    columns: int
    rows: int
    width_px: float

    @property
    def tile_size_px(self) -> tuple[int, int]:
        """Whole pixels, rounded down."""
        return floor(self.width_px + _EPSILON), floor(self.width_px / ASPECT + _EPSILON)


def _width_for(count: int, columns: int, width_px: float, height_px: float, gap_px: int) -> float:
    rows = ceil(count / columns)
    across = (width_px - gap_px * (columns - 1)) / columns
    down = (height_px - gap_px * (rows - 1)) / rows * ASPECT
    return max(0.0, min(across, down, MAX_TILE_WIDTH_PX))


def fit(
    count: int, width_px: float, height_px: float, gap_px: int = 10, *, keep_columns: int = 0
) -> Fit:
    """Choose the columns that give the widest tile; within half a pixel, fewer empty cells.

    `keep_columns` is the column count now on screen for the same number of people: it stays
    unless the best one is at least 8 % wider.
    """
    if count < 1:
        raise ValueError("nobody to place")
    best = Fit(1, count, _width_for(count, 1, width_px, height_px, gap_px))
    for columns in range(2, count + 1):
        rows = ceil(count / columns)
        tile_px = _width_for(count, columns, width_px, height_px, gap_px)
        wider = tile_px > best.width_px + _TIE_PX
        tied = abs(tile_px - best.width_px) <= _TIE_PX
        if wider or (tied and columns * rows < best.columns * best.rows):
            best = Fit(columns, rows, tile_px)
    if 0 < keep_columns <= count and keep_columns != best.columns:
        kept_px = _width_for(count, keep_columns, width_px, height_px, gap_px)
        if best.width_px < kept_px * KEEP_COLUMNS_RATIO:
            return Fit(keep_columns, ceil(count / keep_columns), kept_px)
    return best


def arrange(
    count: int, width_px: int, height_px: int, spacing: Spacing, *, keep_columns: int = 0
) -> tuple[list[Box], int]:
    """Place `count` tiles in a stage of this size; the boxes in slot order, and the columns."""
    if count == 0:
        return [], 0
    inner_w = max(1, width_px - 2 * spacing.padding_px)
    inner_h = max(1, height_px - 2 * spacing.padding_px)
    chosen = fit(count, inner_w, inner_h, spacing.gap_px, keep_columns=keep_columns)
    tile_w, tile_h = chosen.tile_size_px
    tile_w, tile_h = max(1, tile_w), max(1, tile_h)
    gap = spacing.gap_px
    top = spacing.padding_px + (inner_h - tile_h * chosen.rows - gap * (chosen.rows - 1)) // 2
    boxes = []
    for index in range(count):
        row, column = divmod(index, chosen.columns)
        in_row = min(chosen.columns, count - row * chosen.columns)
        left = spacing.padding_px + (inner_w - tile_w * in_row - gap * (in_row - 1)) // 2
        boxes.append(
            Box(left + column * (tile_w + gap), top + row * (tile_h + gap), tile_w, tile_h)
        )
    return boxes, chosen.columns


def page_capacity(width_px: int, height_px: int, spacing: Spacing) -> int:
    """How many tiles one page may hold before they fall under the smallest useful width."""
    inner_w = width_px - 2 * spacing.padding_px
    inner_h = height_px - 2 * spacing.padding_px
    capacity = 1
    for count in range(2, MAX_PEOPLE_PER_PAGE + 1):
        if fit(count, inner_w, inner_h, spacing.gap_px).width_px >= spacing.min_tile_width_px:
            capacity = count
    return capacity


def fill(width_px: int, height_px: int, spacing: Spacing) -> Box:
    """The one large tile of the two-person layout, centred."""
    inner_w = max(1, width_px - 2 * spacing.padding_px)
    inner_h = max(1, height_px - 2 * spacing.padding_px)
    tile_w = min(inner_w, round(inner_h * _FILL_ASPECT))
    # A tall stage (panel open on a narrow window) letterboxes instead of cutting sides off.
    tile_h = min(inner_h, round(tile_w / ASPECT))
    return Box(
        spacing.padding_px + (inner_w - tile_w) // 2,
        spacing.padding_px + (inner_h - tile_h) // 2,
        tile_w,
        tile_h,
    )


def self_view(inside: Box, *, right: bool, bottom: bool) -> Box:
    """The floating self view in a corner of the large tile; at most a third of its width."""
    width_px, height_px = SELF_VIEW_SIZE_PX
    if width_px > inside.width // 3:
        width_px = max(96, inside.width // 3)
        height_px = round(width_px / ASPECT)
    margin = SELF_VIEW_MARGIN_PX
    x = inside.x + (inside.width - width_px - margin if right else margin)
    y = inside.y + (inside.height - height_px - margin if bottom else margin)
    return Box(x, y, width_px, height_px)
