from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest

from app.media.capture import camera as capture
from app.media.devices import MediaDevice, list_cameras_fallback


def camera(index: int, name: str, path: str | None, backend: int) -> SimpleNamespace:
    return SimpleNamespace(index=index, name=name, path=path, vid=1, pid=2, backend=backend)


@pytest.fixture
def enumerated(monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    """The cameras that OpenCV's back-ends know on a machine that is no Linux."""
    known: list[SimpleNamespace] = []
    module = ModuleType("cv2_enumerate_cameras")
    module.enumerate_cameras = lambda: known  # type: ignore[attr-defined]  # a made-up module
    monkeypatch.setitem(sys.modules, "cv2_enumerate_cameras", module)
    monkeypatch.setattr(capture, "load_opencv", lambda: module)
    monkeypatch.setattr(sys, "platform", "win32")
    return known


def test_a_camera_that_two_back_ends_know_is_listed_once(
    enumerated: list[SimpleNamespace],
) -> None:
    enumerated += [
        camera(1400, "HD Webcam", r"\\?\usb#1", 1400),
        camera(700, "HD Webcam", r"\\?\usb#1", 700),
        camera(701, "OBS Virtual Camera", None, 700),
    ]

    assert list_cameras_fallback() == [
        MediaDevice("camera", r"\\?\usb#1", "HD Webcam", "1400", is_default=True),
        MediaDevice("camera", "OBS Virtual Camera", "OBS Virtual Camera", "701"),
    ]


def test_a_number_without_its_back_end_gets_it(enumerated: list[SimpleNamespace]) -> None:
    enumerated.append(camera(1, "FaceTime", "0x1", 1200))

    assert [found.os_path for found in list_cameras_fallback()] == ["1201"]


def test_without_the_list_there_are_no_cameras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2_enumerate_cameras", None)
    monkeypatch.setattr(sys, "platform", "darwin")

    assert list_cameras_fallback() == []
