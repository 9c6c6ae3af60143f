"""Pictures that are pasted into the message field: from the clipboard to a file that can be sent.

On the Qt thread the clipboard's bytes are fetched, as Qt can do it nowhere else: a program that
is slow to hand them over stops the window until it has (after some seconds Qt gives up). Whatever
else takes time (decoding, encoding, the disk) is `PastedPictures.keep`'s, on a worker thread.
Text wins where a program put both on the clipboard, as office programs do.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QBuffer, QIODevice, QMimeData, Qt
from PySide6.QtGui import QImage, QImageReader, QImageWriter, QPainter

from app.engine.chat_images import MAX_IMAGE_BYTES
from app.runtime.errors import Reason, WorldError
from app.ui.chat.export import refusal

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp")
_AS_IT_IS = {"image/png": ".png", "image/jpeg": ".jpg"}
_DECODED = ("image/webp", "image/bmp", "image/tiff", "image/x-bmp")
_JPEG_QUALITY = 90
# Of a photograph as large as a screen zlib's usual effort takes five times as long (6.4 s against
# 1.2), and saves a tenth: somebody waits to send it.
_PNG_QUALITY = 80


@dataclass(frozen=True, slots=True)
class Clip:
    """A picture as the clipboard has it: whole files, a file's bytes, or pixels."""

    files: tuple[Path, ...] = ()
    data: bytes = b""
    suffix: str = ""
    image: QImage | None = None


def may_hold_picture(mime: QMimeData) -> bool:
    """Whether a picture is announced; what it is made of stays with the program that has it."""
    return mime.hasImage() or any(kind.startswith("image/") for kind in mime.formats())


def picture_in(mime: QMimeData) -> Clip | None:
    """What can be sent as a picture; None where text is meant, or nothing that can be sent."""
    urls = mime.urls()
    files = tuple(Path(url.toLocalFile()) for url in urls if url.isLocalFile())
    if files and len(files) == len(urls):
        are_pictures = all(path.suffix.lower() in PICTURE_SUFFIXES for path in files)
        return Clip(files) if are_pictures else None
    if mime.text().strip():
        return None
    for kind in (*_AS_IT_IS, *_DECODED):
        if mime.hasFormat(kind) and (data := bytes(mime.data(kind).data())):
            return Clip(data=data, suffix=_AS_IT_IS.get(kind, ""))
    image = mime.imageData() if mime.hasImage() else None
    return Clip(image=image) if isinstance(image, QImage) and not image.isNull() else None


class PastedPictures:
    """The pictures pasted in one meeting, in a folder of their own that goes with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._count = 0
        self._is_closed = False

    def keep(self, clip: Clip) -> Path:
        """Write a picture that has no file (worker thread); DAMAGED, TOO_LARGE, DISK_FULL."""
        data, suffix = encode(clip)
        try:
            path = self._free_path(suffix)
            path.write_bytes(data)
        except OSError as error:
            raise refusal(error) from error
        finally:
            with self._lock:
                if self._is_closed:
                    self._remove()
        return path

    def close(self) -> None:
        """The meeting is over: delete them."""
        with self._lock:
            self._is_closed = True
            self._remove()

    def _free_path(self, suffix: str) -> Path:
        with self._lock:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="lanai-pasted-"))
            self._count += 1
            number = f" {self._count}" if self._count > 1 else ""
            return self._folder / f"Pasted picture{number}{suffix}"

    def _remove(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def encode(clip: Clip) -> tuple[bytes, str]:
    """The bytes of a file, no larger than a chat takes, and the end of its name."""
    if clip.suffix and len(clip.data) <= MAX_IMAGE_BYTES and _is_picture(clip.data):
        return clip.data, clip.suffix
    image = clip.image or QImage.fromData(clip.data)
    if image.isNull():
        raise WorldError(Reason.DAMAGED, detail="pasted picture")
    if not clip.suffix and len(data := _encoded(image, b"PNG", _PNG_QUALITY)) <= MAX_IMAGE_BYTES:
        return data, ".png"
    # A photograph: as JPEG it is a tenth.
    data = _encoded(_on_white(image), b"JPG", _JPEG_QUALITY)
    if len(data) > MAX_IMAGE_BYTES:
        raise WorldError(Reason.TOO_LARGE, detail="pasted picture")
    return data, ".jpg"


def _is_picture(data: bytes) -> bool:
    buffer = QBuffer()
    buffer.setData(data)
    buffer.open(QIODevice.OpenModeFlag.ReadOnly)
    return QImageReader(buffer).size().isValid()


def _encoded(image: QImage, kind: bytes, quality: int) -> bytes:
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    # Qt lets go of the interpreter while it encodes, so that the window goes on.
    writer = QImageWriter(buffer, kind)
    writer.setQuality(quality)
    writer.write(image)
    # Python would let go of the buffer first, to which the writer points.
    del writer
    return bytes(buffer.data().data())


def _on_white(image: QImage) -> QImage:
    """JPEG has no transparent parts, and would make them black."""
    if not image.hasAlphaChannel():
        return image
    whole = QImage(image.size(), QImage.Format.Format_RGB32)
    # Unlike `fill`, a painter lets the Qt thread go on meanwhile.
    painter = QPainter(whole)
    painter.fillRect(whole.rect(), Qt.GlobalColor.white)
    painter.drawImage(0, 0, image)
    painter.end()
    return whole
