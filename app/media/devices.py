"""What microphones, speakers and cameras this machine has."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import structlog

from app.media import portaudio
from app.runtime.errors import WorldError

log = structlog.get_logger(__name__)

Kind = Literal["microphone", "speaker", "camera"]

MOST_CAMERAS = 10


@dataclass(frozen=True, slots=True)
class MediaDevice:
    """A device: `id` is stable enough for settings, `os_path` what the system opens.

    A camera's `os_path` is its node on Linux, elsewhere the number that OpenCV knows it by.
    """

    kind: Kind
    id: str
    name: str
    os_path: str = ""
    is_default: bool = False


def list_audio_devices(*, rescan: bool = False) -> list[MediaDevice]:
    """Return microphones and speakers, or raise WorldError(NO_AUDIO_BACKEND).

    May take some tenths of a second, so call it on a worker thread. `rescan` looks for devices
    that came since the first call, unless a stream is open.
    """
    sounddevice = portaudio.load()
    if rescan:
        portaudio.refresh(sounddevice)
    default_input, default_output = sounddevice.default.device
    found: list[MediaDevice] = []
    for index, device in enumerate(sounddevice.query_devices()):
        device_id = portaudio.identify(sounddevice, device)
        name = str(device["name"])
        if device["max_input_channels"] > 0:
            chosen = index == default_input
            found.append(MediaDevice("microphone", device_id, name, is_default=chosen))
        if device["max_output_channels"] > 0:
            chosen = index == default_output
            found.append(MediaDevice("speaker", device_id, name, is_default=chosen))
    return found


def list_cameras_fallback() -> list[MediaDevice]:
    """Return cameras without Qt: the capture nodes on Linux, OpenCV's numbers elsewhere."""
    return _camera_nodes() if sys.platform == "linux" else _numbered_cameras()


def _camera_nodes() -> list[MediaDevice]:
    found: list[MediaDevice] = []
    for node in sorted(Path("/dev").glob("video*"))[:MOST_CAMERAS]:
        label = Path("/sys/class/video4linux", node.name)
        # A camera has several nodes; the first carries pictures, the others metadata.
        if _read(label / "index") not in ("", "0"):
            continue
        name = _read(label / "name") or node.name
        found.append(MediaDevice("camera", str(node), name, str(node), is_default=not found))
    return found


def _numbered_cameras() -> list[MediaDevice]:
    """Ask every back-end of OpenCV; the first one that knows a camera is the one to open it."""
    try:
        # The list imports cv2, which must not point Qt at plugins of its own.
        from app.media.capture.camera import load_opencv

        load_opencv()
        from cv2_enumerate_cameras import (  # type: ignore[import-not-found]  # not on Linux
            enumerate_cameras,
        )
    except (ImportError, WorldError) as error:
        log.info("no list of cameras", detail=str(error))
        return []
    found: dict[str, MediaDevice] = {}
    for camera in enumerate_cameras():
        name = str(camera.name)
        device_id = str(camera.path or name)
        # OpenCV's number holds the back-end in its hundreds.
        number = int(camera.backend) + int(camera.index) % 100
        if device_id in found or len(found) == MOST_CAMERAS:
            continue
        found[device_id] = MediaDevice("camera", device_id, name, str(number), is_default=not found)
    return list(found.values())


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
