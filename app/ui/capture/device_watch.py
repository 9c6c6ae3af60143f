"""Qt's lists of devices, read on a thread of their own, and read anew when something is plugged.

Qt answers from memory in microseconds, but the first question loads a plug-in (20-90 ms) and
connects to the sound server, and one that does not answer holds the asking thread for ever. So
the Qt thread never asks: a daemon thread with a Qt event loop does, cameras before sound, and
what it finds arrives by a queued signal. Without QtMultimedia (its libpulse may be missing) or
without its plug-in nothing arrives, or empty lists; the engine's own lists then serve.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import structlog
from PySide6.QtCore import (
    QEventLoop,
    QLoggingCategory,
    QMessageLogContext,
    QObject,
    Qt,
    QtMsgType,
    Signal,
    SignalInstance,
    qInstallMessageHandler,
)

from app.engine.events import DeviceInfo, DeviceKind

log = structlog.get_logger(__name__)

STOP_DEADLINE_S = 1.0
_QUIET_RULES = "qt.multimedia.*=false"
_QUIET_TEXTS = ("PulseAudioService",)

MessageHandler = Callable[[QtMsgType, QMessageLogContext, str], object]


class QtDevice(Protocol):
    """A `QAudioDevice` or a `QCameraDevice`."""

    def id(self) -> Any:
        """Bytes that name it."""

    def description(self) -> str:
        """Words that name it."""

    def isDefault(self) -> bool:
        """Whether it is the system's default."""


class DeviceSource(Protocol):
    """What of `QMediaDevices` is used; made and asked on the watching thread."""

    @property
    def audioInputsChanged(self) -> SignalInstance:
        """A microphone came or went."""

    @property
    def audioOutputsChanged(self) -> SignalInstance:
        """A speaker came or went."""

    @property
    def videoInputsChanged(self) -> SignalInstance:
        """A camera came or went."""

    def audioInputs(self) -> Sequence[QtDevice]:
        """Microphones."""

    def audioOutputs(self) -> Sequence[QtDevice]:
        """Speakers."""

    def videoInputs(self) -> Sequence[QtDevice]:
        """Cameras."""


def qt_devices() -> DeviceSource:
    """Import QtMultimedia and ask it; raises ImportError where its libraries lack."""
    from PySide6.QtMultimedia import QMediaDevices

    return QMediaDevices()


class DeviceWatch(QObject):
    """Emits `changed(tuple[DeviceInfo, ...])`: cameras, then all devices, then every change.

    Belongs to the Qt thread; `start` and `stop` return at once or after at most a second.
    """

    changed = Signal(object)
    _stopping = Signal()

    def __init__(
        self,
        parent: QObject | None = None,
        *,
        make_source: Callable[[], DeviceSource] = qt_devices,
    ) -> None:
        super().__init__(parent)
        self._make_source = make_source
        self._thread: threading.Thread | None = None
        self._source: DeviceSource | None = None
        self._cameras: tuple[DeviceInfo, ...] = ()
        self._sounds: tuple[DeviceInfo, ...] = ()
        self._last: tuple[DeviceInfo, ...] | None = None
        self._stopped = False

    def start(self) -> None:
        """Start to look; a second call changes nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="device watch", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Look no more; a thread that hangs in the sound server is left behind."""
        self._stopped = True
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._stopping.emit()
        thread.join(STOP_DEADLINE_S)
        if thread.is_alive():
            log.info("the sound server does not answer")

    # -- the watching thread ------------------------------------------------------------------

    def _run(self) -> None:
        loop = QEventLoop()
        self._stopping.connect(loop.quit, Qt.ConnectionType.QueuedConnection)
        try:
            with _quiet_qt():
                self._open()
        except ImportError as error:
            log.info("no device lists from Qt", detail=str(error))
            return
        if not self._stopped:
            loop.exec()
        # Here and not wherever the last reference ends: its timers belong to this thread.
        self._source = None

    def _open(self) -> None:
        source = self._source = self._make_source()
        # A lambda, unlike a method of this object, is called on the source's thread.
        self._cameras = _read(DeviceKind.CAMERA, source.videoInputs())
        source.videoInputsChanged.connect(lambda: self._on_cameras())
        self._tell()
        self._sounds = _read_sounds(source)
        source.audioInputsChanged.connect(lambda: self._on_sounds())
        source.audioOutputsChanged.connect(lambda: self._on_sounds())
        self._tell()

    def _on_cameras(self) -> None:
        if self._source is not None:
            self._cameras = _read(DeviceKind.CAMERA, self._source.videoInputs())
            self._tell()

    def _on_sounds(self) -> None:
        if self._source is not None:
            self._sounds = _read_sounds(self._source)
            self._tell()

    def _tell(self) -> None:
        devices = (*self._sounds, *self._cameras)
        if self._stopped or devices == self._last:
            return
        self._last = devices
        try:
            self.changed.emit(devices)
        except RuntimeError:
            # The window is going down, and with it the C++ half of this object.
            self._stopped = True


def _read_sounds(source: DeviceSource) -> tuple[DeviceInfo, ...]:
    return (
        *_read(DeviceKind.MICROPHONE, source.audioInputs()),
        *_read(DeviceKind.SPEAKER, source.audioOutputs()),
    )


def _read(kind: DeviceKind, devices: Sequence[QtDevice]) -> tuple[DeviceInfo, ...]:
    found = []
    for device in devices:
        device_id = bytes(device.id()).decode("utf-8", errors="replace")
        # On Linux Qt names a camera by its node, which is also what opens it.
        is_node = kind is DeviceKind.CAMERA and sys.platform == "linux"
        found.append(
            DeviceInfo(
                kind,
                device_id,
                device.description() or device_id,
                os_path=device_id if is_node else "",
                is_default=device.isDefault(),
            )
        )
    return tuple(found)


@contextmanager
def _quiet_qt() -> Iterator[None]:
    """Keep Qt from complaining about a computer without a sound server or PipeWire."""
    before: MessageHandler | None = None

    def handle(kind: QtMsgType, context: QMessageLogContext, text: str) -> None:
        if (context.category or "").startswith("qt.multimedia") or text.startswith(_QUIET_TEXTS):
            return
        if before is not None:
            before(kind, context, text)
        else:
            sys.stderr.write(f"{text}\n")

    before = qInstallMessageHandler(handle)
    QLoggingCategory.setFilterRules(_QUIET_RULES)
    try:
        yield
    finally:
        qInstallMessageHandler(before)
