"""Which layers a published video gets, as LiveKit clients choose them.

The larger edge of the source picks a row of the table for the original size; simulcast adds the
smaller rows of the same shape. Three layers from 960 pixels on, two from 480, else one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from livekit.protocol.models import VideoLayer, VideoQuality

from app.engine.session_types import LayerParameters
from app.media.encode.video import LayerSpec

THREE_LAYERS_FROM = 960
TWO_LAYERS_FROM = 480


@dataclass(frozen=True, slots=True)
class Preset:
    """A picture size with the limits that suit it."""

    width: int
    height: int
    bitrate_bps: int
    fps: float


WIDE = (
    Preset(160, 90, 90_000, 15),
    Preset(320, 180, 160_000, 15),
    Preset(384, 216, 180_000, 15),
    Preset(640, 360, 450_000, 20),
    Preset(960, 540, 800_000, 25),
    Preset(1280, 720, 1_700_000, 30),
    Preset(1920, 1080, 3_000_000, 30),
    Preset(2560, 1440, 5_000_000, 30),
    Preset(3840, 2160, 8_000_000, 30),
)
STANDARD = (
    Preset(160, 120, 70_000, 15),
    Preset(240, 180, 125_000, 15),
    Preset(320, 240, 140_000, 15),
    Preset(480, 360, 330_000, 20),
    Preset(640, 480, 500_000, 20),
    Preset(720, 540, 600_000, 25),
    Preset(960, 720, 1_300_000, 30),
    Preset(1440, 1080, 2_300_000, 30),
    Preset(1920, 1440, 3_800_000, 30),
)
SCREEN = (
    Preset(640, 360, 200_000, 3),
    Preset(1280, 720, 800_000, 5),
    Preset(1280, 720, 1_500_000, 15),
    Preset(1920, 1080, 2_500_000, 15),
)
WIDE_SIMULCAST = (WIDE[1], WIDE[3])
STANDARD_SIMULCAST = (STANDARD[1], STANDARD[3])
RIDS = ("q", "h", "f")
QUALITIES = (VideoQuality.LOW, VideoQuality.MEDIUM, VideoQuality.HIGH)


@dataclass(frozen=True, slots=True)
class Layers:
    """The same layers, lowest first, for the encoder, the sender and the announcement."""

    specs: tuple[LayerSpec, ...]
    parameters: tuple[LayerParameters, ...]
    announced: tuple[VideoLayer, ...]


def choose_layers(
    width: int,
    height: int,
    *,
    simulcast: bool,
    is_screencast: bool = False,
    max_bitrate_bps: int = 0,
    max_fps: float = 0.0,
) -> Layers:
    """Decide the layers of a `width` x `height` source; zeros leave limits to the table."""
    own = _own_preset(width, height, is_screencast)
    original = Preset(
        width, height, max_bitrate_bps or own.bitrate_bps, max_fps or max(own.fps, 1.0)
    )
    presets = [original]
    if simulcast:
        presets = [*_smaller(width, height, original, is_screencast), original]
    if len(presets) == 1:
        return _layers(presets, ("",), (VideoQuality.HIGH,), width, height)
    return _layers(presets, RIDS, QUALITIES, width, height)


def _layers(
    presets: Sequence[Preset],
    rids: Sequence[str],
    qualities: Sequence[VideoQuality],
    width: int,
    height: int,
) -> Layers:
    specs: list[LayerSpec] = []
    parameters: list[LayerParameters] = []
    announced: list[VideoLayer] = []
    for preset, rid, quality in zip(presets, rids, qualities, strict=False):
        scale = max(1.0, min(width, height) / min(preset.width, preset.height))
        layer_width, layer_height = int(width / scale), int(height / scale)
        specs.append(LayerSpec(layer_width, layer_height, preset.bitrate_bps, preset.fps))
        parameters.append(
            LayerParameters(
                rid=rid,
                max_bitrate_bps=preset.bitrate_bps,
                scale_down_by=scale,
                max_framerate=preset.fps,
            )
        )
        announced.append(
            VideoLayer(
                quality=quality,
                width=layer_width,
                height=layer_height,
                bitrate=preset.bitrate_bps,
                ssrc=0,
            )
        )
    return Layers(tuple(specs), tuple(parameters), tuple(announced))


def _is_standard(width: int, height: int) -> bool:
    ratio = max(width, height) / min(width, height)
    return abs(ratio - 4 / 3) < abs(ratio - 16 / 9)


def _own_preset(width: int, height: int, is_screencast: bool) -> Preset:
    if is_screencast:
        table: Sequence[Preset] = SCREEN
    else:
        table = STANDARD if _is_standard(width, height) else WIDE
    size = max(width, height)
    for preset in table:
        if preset.width >= size:
            return preset
    return table[-1]


def _smaller(width: int, height: int, original: Preset, is_screencast: bool) -> list[Preset]:
    size = max(width, height)
    if is_screencast:
        # One smaller picture for those whose connection cannot carry the original's text.
        half = Preset(
            max(1, width // 2), max(1, height // 2), max(150_000, original.bitrate_bps // 4), 3
        )
        return [half] if size >= TWO_LAYERS_FROM else []
    low, middle = STANDARD_SIMULCAST if _is_standard(width, height) else WIDE_SIMULCAST
    if size >= THREE_LAYERS_FROM:
        return [low, middle]
    return [low] if size >= TWO_LAYERS_FROM else []
