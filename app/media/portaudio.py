"""PortAudio, loaded when the first device is wanted, its errors made the world's.

PortAudio's library may be missing (sounddevice then fails to import) and looks at the devices
once, when it is initialised: `refresh` does that again while nothing is open.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from types import ModuleType
from typing import Any

import structlog

from app.runtime.errors import Reason, WorldError

log = structlog.get_logger(__name__)

PA_DEVICE_UNAVAILABLE = -9985
PA_INVALID_SAMPLE_RATE = -9997

_lock = threading.Lock()
_open_streams = 0
_keep_alive: list[Any] = []


def load() -> ModuleType:
    """Import sounddevice, or raise WorldError(NO_AUDIO_BACKEND)."""
    with _lock:
        if sys.platform == "linux" and "sounddevice" not in sys.modules:
            _silence_alsa()
        try:
            import sounddevice  # type: ignore[import-untyped]  # ships no stubs
        except OSError as error:
            raise WorldError(Reason.NO_AUDIO_BACKEND, detail=str(error)) from error
        except Exception as error:
            # PortAudioError of a library that cannot be initialised; its type is not importable.
            if type(error).__name__ != "PortAudioError":
                raise
            raise WorldError(Reason.NO_AUDIO_BACKEND, detail=str(error)) from error
        module: ModuleType = sounddevice
        return module


def _silence_alsa() -> None:
    """Keep ALSA from printing a page of complaints about devices that do not exist."""
    try:
        library = ctypes.CDLL("libasound.so.2")
        handler_type = ctypes.CFUNCTYPE(
            None, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p
        )
        handler = handler_type(lambda *_: None)
        library.snd_lib_error_set_handler(handler)
    except (OSError, AttributeError):
        return
    _keep_alive.append(handler)


def world_error(error: Exception) -> WorldError:
    """Say in the product's words what PortAudio refused."""
    code = error.args[1] if len(error.args) > 1 else None
    busy = code == PA_DEVICE_UNAVAILABLE or "busy" in str(error).lower()
    return WorldError(
        Reason.DEVICE_BUSY if busy else Reason.DEVICE_GONE, retry=True, detail=str(error)
    )


def is_rate_refusal(error: Exception) -> bool:
    """Whether the device only dislikes the sample rate."""
    return len(error.args) > 1 and error.args[1] == PA_INVALID_SAMPLE_RATE


def stream_opened() -> None:
    """Note an open stream; devices are not listed anew meanwhile."""
    global _open_streams
    with _lock:
        _open_streams += 1


def stream_closed() -> None:
    """Note the end of a stream."""
    global _open_streams
    with _lock:
        _open_streams -= 1


def refresh(sounddevice: ModuleType) -> bool:
    """Look for devices again; False while a stream is open, since that would end it."""
    with _lock:
        if _open_streams:
            return False
        try:
            sounddevice._terminate()  # noqa: SLF001  # the documented way to re-scan
            sounddevice._initialize()  # noqa: SLF001
        except sounddevice.PortAudioError as error:
            raise WorldError(Reason.NO_AUDIO_BACKEND, detail=str(error)) from error
        return True


def find_device(sounddevice: ModuleType, device_id: str | None, kind: str) -> int:
    """Return PortAudio's index for `device_id` (empty: the default); `kind` is input or output."""
    channels_key = f"max_{kind}_channels"
    devices = list(sounddevice.query_devices())
    if device_id:
        for index, device in enumerate(devices):
            if device[channels_key] > 0 and identify(sounddevice, device) == device_id:
                return index
        raise WorldError(Reason.DEVICE_GONE, detail="no device of that id")
    default = sounddevice.default.device[0 if kind == "input" else 1]
    if 0 <= default < len(devices) and devices[default][channels_key] > 0:
        return int(default)
    for index, device in enumerate(devices):
        if device[channels_key] > 0:
            return index
    raise WorldError(Reason.DEVICE_GONE, retry=True, detail=f"no {kind} device")


def identify(sounddevice: ModuleType, device: dict[str, Any]) -> str:
    """Return an id that survives a restart: host API and name, since indices do not."""
    host_api = sounddevice.query_hostapis(device["hostapi"])["name"]
    return f"{host_api}/{device['name']}"
