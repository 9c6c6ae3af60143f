"""A camera that plays a file, cameras that are not there, and what OpenCV does to Qt."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import av
import pytest

from app.media.capture.camera import QT_VARIABLES, CameraCapture, load_opencv
from app.media.capture.generated import draw_picture, read_counter
from app.media.devices import list_cameras_fallback
from app.runtime.errors import Reason, WorldError
from tests.support.pictures import RED, PictureLog, wait_until
from tests.support.signals import colour_distance, picture_colour

FRAMES = 20
ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short film whose pictures are numbered from 1."""
    path = tmp_path_factory.mktemp("film") / "film.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=30)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuvj420p"
        stream.thread_count = 1
        for counter in range(1, FRAMES + 1):
            frame = draw_picture(RED, 640, 360, counter).to_frame()
            frame.pts = counter
            container.mux(stream.encode(frame.reformat(format="yuvj420p")))
        container.mux(stream.encode(None))
    return path


def test_a_film_is_played_again_and_again(film: Path) -> None:
    log = PictureLog()
    camera = CameraCapture(str(film), log)
    camera.start()
    pictures = log.wait_for(FRAMES + 5)
    camera.close()
    count = len(log.pictures)

    counters = [read_counter(picture) for picture, _ in pictures[: FRAMES + 5]]
    assert counters == [*range(1, FRAMES + 1), *range(1, 6)]
    assert all(colour_distance(picture_colour(picture), RED) <= 12 for picture, _ in pictures)
    assert len(log.pictures) == count


@pytest.mark.parametrize(
    ("source", "reason"),
    [("/dev/video-none", Reason.DEVICE_GONE), (63, Reason.DEVICE_GONE)],
)
def test_a_camera_that_is_not_there_says_so(source: str | int, reason: Reason) -> None:
    camera = CameraCapture(source, PictureLog())
    with pytest.raises(WorldError) as caught:
        camera.start()

    assert caught.value.reason is reason


def test_a_camera_that_opens_for_nobody_is_busy(tmp_path: Path) -> None:
    # To OpenCV a taken device and a file that is no film look the same: neither opens.
    taken = tmp_path / "video0"
    taken.write_bytes(b"no film")
    with pytest.raises(WorldError) as caught:
        CameraCapture(str(taken), PictureLog()).start()

    assert caught.value.reason is Reason.DEVICE_BUSY
    assert caught.value.retry


def test_a_camera_that_may_not_be_read_says_so(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The tests may run as root, who may read everything.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(WorldError) as caught:
        CameraCapture(str(film), PictureLog()).start()

    assert caught.value.reason is Reason.DEVICE_DENIED


def test_a_camera_that_stops_is_reported_once(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[WorldError] = []
    log = PictureLog()
    camera = CameraCapture(str(film), log, on_failed=failures.append)
    capture_type = load_opencv().VideoCapture

    class Unplugged:
        """A film that ends for good after a few pictures."""

        def __init__(self, source: str) -> None:
            self._film = capture_type(source)
            self._left = 5

        def read(self) -> tuple[bool, object]:
            self._left -= 1
            result: tuple[bool, object] = self._film.read() if self._left >= 0 else (False, None)
            return result

        def __getattr__(self, name: str) -> object:
            return getattr(self._film, name)

    monkeypatch.setattr(load_opencv(), "VideoCapture", Unplugged)
    camera.start()
    wait_until(lambda: bool(failures))
    camera.close()

    assert [failure.reason for failure in failures] == [Reason.DEVICE_GONE]
    assert len(log.pictures) == 5


@pytest.mark.parametrize("chosen", [None, "/chosen/by/somebody"])
def test_opencv_leaves_no_trace_in_the_environment(chosen: str | None) -> None:
    # In a process of its own, since the import happens once.
    environment = {k: v for k, v in os.environ.items() if k not in QT_VARIABLES}
    if chosen is not None:
        environment |= dict.fromkeys(QT_VARIABLES, chosen)
    script = (
        "import os, sys\n"
        "from app.media.capture.camera import QT_VARIABLES, load_opencv\n"
        "import app.media.devices, app.media.capture.microphone\n"
        "assert 'cv2' not in sys.modules\n"
        "load_opencv()\n"
        "print([os.environ.get(name) for name in QT_VARIABLES])\n"
        "child = 'import os; print([os.environ.get(n) for n in ' + repr(QT_VARIABLES) + '])'\n"
        "import subprocess; subprocess.run([sys.executable, '-c', child], check=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-u", "-c", script],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert done.stdout.splitlines() == [str([chosen, chosen])] * 2


def test_listing_cameras_without_qt_names_their_nodes() -> None:
    for camera in list_cameras_fallback():
        assert camera.kind == "camera"
        assert camera.os_path.startswith("/dev/video")
