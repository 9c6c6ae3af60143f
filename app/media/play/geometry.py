"""How a picture fits a tile: what to scale it to and which part to show."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Fit(StrEnum):
    """`COVER` fills the tile and cuts the rest, `FIT` shows everything and leaves bars."""

    COVER = "cover"
    FIT = "fit"


@dataclass(frozen=True, slots=True)
class Geometry:
    """Scale the whole picture to `scaled_*`, then show `width`x`height` from `left`, `top`."""

    scaled_width: int
    scaled_height: int
    left: int
    top: int
    width: int
    height: int


def tile_geometry(
    source_width: int, source_height: int, target_width: int, target_height: int, fit: Fit
) -> Geometry:
    """Decide sizes for one tile, in pixels of the device.

    A picture smaller than its tile stays at native size, since enlarging it here would cost
    more than letting the painter do it: only the cut to the tile's shape is made.
    """
    across = target_width / source_width
    down = target_height / source_height
    factor = max(across, down) if fit is Fit.COVER else min(across, down)
    if factor >= 1.0:
        factor = 1.0
        if fit is Fit.COVER:
            # The same shape as the tile, as large as the source allows.
            shown = max(across, down)
            target_width = max(1, round(target_width / shown))
            target_height = max(1, round(target_height / shown))
    scaled_width = max(1, round(source_width * factor))
    scaled_height = max(1, round(source_height * factor))
    if fit is Fit.FIT:
        return Geometry(scaled_width, scaled_height, 0, 0, scaled_width, scaled_height)
    width = min(target_width, scaled_width)
    height = min(target_height, scaled_height)
    left = (scaled_width - width) // 2
    top = (scaled_height - height) // 2
    return Geometry(scaled_width, scaled_height, left, top, width, height)
