"""What becomes of a picture on the clipboard: which bytes are sent, and how large they may be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QUrl
from PySide6.QtGui import QColor, QImage

from app.runtime.errors import Reason, WorldError
from app.ui.chat import pasted
from app.ui.chat.pasted import Clip, PastedPictures, encode, picture_in


def noise(side: int, *, transparent: bool = False) -> QImage:
    """A picture that no encoder makes small; none of it can be seen when it is transparent."""
    pixels = bytearray(os.urandom(side * side * 4))
    if transparent:
        pixels[3::4] = bytes(side * side)
    kind = QImage.Format.Format_ARGB32 if transparent else QImage.Format.Format_RGB32
    return QImage(pixels, side, side, kind).copy()


def test_pixels_become_a_png() -> None:
    image = QImage(4, 4, QImage.Format.Format_ARGB32)
    image.fill(QColor(10, 20, 30, 40))
    data, suffix = encode(Clip(image=image))

    assert suffix == ".png"
    assert QImage.fromData(data).pixelColor(1, 1).alpha() == 40


def test_pixels_are_packed_quickly_rather_than_tightly() -> None:
    data, _suffix = encode(Clip(image=noise(64)))
    packed = data[data.index(b"IDAT") + 4 :]

    # The second byte of what zlib writes says how hard it tried (RFC 1950: FLEVEL).
    assert packed[1] >> 6 == 0


@pytest.mark.parametrize("transparent", [False, True])
def test_what_is_too_large_as_png_becomes_a_jpeg_on_white(
    monkeypatch: pytest.MonkeyPatch, transparent: bool
) -> None:
    monkeypatch.setattr(pasted, "MAX_IMAGE_BYTES", 40_000)
    data, suffix = encode(Clip(image=noise(128, transparent=transparent)))

    assert suffix == ".jpg"
    assert len(data) <= 40_000
    assert (QImage.fromData(data).pixelColor(3, 3) == QColor("white")) is transparent


def test_what_is_too_large_either_way_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pasted, "MAX_IMAGE_BYTES", 5_000)
    with pytest.raises(WorldError) as refused:
        encode(Clip(image=noise(128)))

    assert refused.value.reason is Reason.TOO_LARGE


@pytest.mark.parametrize("clip", [Clip(data=b"junk", suffix=".png"), Clip(data=b"BM"), Clip()])
def test_what_is_no_picture_is_refused(clip: Clip) -> None:
    with pytest.raises(WorldError) as refused:
        encode(clip)

    assert refused.value.reason is Reason.DAMAGED


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_path: Path, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    kept = PastedPictures()
    with pytest.raises(WorldError) as refused:
        kept.keep(Clip(image=noise(4)))
    kept.close()

    assert refused.value.reason is Reason.DISK_FULL


def test_nothing_stays_on_the_disk_after_the_meeting() -> None:
    kept = PastedPictures()
    first, second = (kept.keep(Clip(image=noise(4))) for _ in range(2))
    assert (first.name, second.name) == ("Pasted picture.png", "Pasted picture 2.png")
    kept.close()
    with pytest.raises(WorldError):
        kept.keep(Clip(image=noise(4)))

    assert not first.parent.exists()


def test_only_pictures_are_taken_from_the_clipboard() -> None:
    assert picture_in(QMimeData()) is None
    web = QMimeData()
    web.setUrls([QUrl("https://seeds.example/plan.png")])
    assert picture_in(web) is None
    mixed = QMimeData()
    mixed.setUrls([QUrl.fromLocalFile("/tmp/a.png"), QUrl.fromLocalFile("/tmp/b.txt")])
    assert picture_in(mixed) is None
    html = QMimeData()
    html.setHtml("<img src='plan.png'>")
    html.setData("image/webp", b"RIFF")
    assert picture_in(html) == Clip(data=b"RIFF")
