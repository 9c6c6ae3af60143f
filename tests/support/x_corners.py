"""Opens a menu over a bright page on a real X server and prints what the screen shows of it.

Runs in a process of its own, since a test process has one Qt platform. Prints one JSON object:
the colours at the menu's four corners and in its middle, that of the page behind it, and whether
somebody was found who blends windows. With `--compositor` this process claims to be the one.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from collections.abc import Callable

from PySide6.QtCore import QPoint
from PySide6.QtGui import QColor, QGuiApplication, QNativeInterface, QPixmap
from PySide6.QtWidgets import QApplication, QLabel, QWidget

from app.ui.theme import ThemeChoice, theme
from app.ui.widgets import Menu, compositing

DEADLINE_S = 30.0
BRIGHT = "#ff00ff"


def claim(owner: QWidget) -> None:
    """Own the selection that a compositor owns."""
    app = QGuiApplication.instance()
    assert isinstance(app, QGuiApplication)
    native = app.nativeInterface()
    assert isinstance(native, QNativeInterface.QX11Application)
    connection = ctypes.c_void_p(int(native.connection()))
    atom = compositing._xcb().atom(int(native.connection()), b"_NET_WM_CM_S0")
    xcb = ctypes.CDLL("libxcb.so.1")
    xcb.xcb_set_selection_owner(
        connection, ctypes.c_uint32(owner.winId()), ctypes.c_uint32(atom), ctypes.c_uint32(0)
    )
    xcb.xcb_flush(connection)


def wait_until(app: QApplication, is_so: Callable[[], bool]) -> None:
    """Let Qt work until something holds."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not is_so():
        if time.monotonic() > deadline_s:
            raise TimeoutError
        app.processEvents()
        time.sleep(0.02)


def colour_at(point: QPoint) -> str:
    """What the screen shows there."""
    screen = QGuiApplication.primaryScreen()
    return screen.grabWindow(0, point.x(), point.y(), 1, 1).toImage().pixelColor(0, 0).name()


def main() -> None:
    """Open, look, print."""
    app = QApplication(sys.argv)
    theme.apply_to(app, ThemeChoice.DARK)
    picture = QPixmap(600, 400)
    picture.fill(QColor(BRIGHT))
    page = QLabel()
    page.setPixmap(picture)
    page.setGeometry(0, 0, 600, 400)
    page.show()
    wait_until(app, lambda: colour_at(QPoint(300, 200)) == BRIGHT)
    if "--compositor" in sys.argv:
        claim(page)
    menu = Menu(page)
    for word in ("Reply", "Copy message", "Delete"):
        menu.add_item(word, lambda: None)
    menu.popup(QPoint(100, 100))
    box = menu.geometry()
    middle = QPoint(box.center().x(), box.top() + 3)
    wait_until(app, lambda: menu.isVisible() and colour_at(middle) != BRIGHT)
    corners = (box.topLeft(), box.topRight(), box.bottomLeft(), box.bottomRight())
    seen = {
        "is_composited": compositing.is_composited(),
        "page": colour_at(QPoint(20, 20)),
        "corners": [colour_at(corner) for corner in corners],
        "inside": colour_at(middle),
    }
    sys.stdout.write(json.dumps(seen) + "\n")
    menu.close()


if __name__ == "__main__":
    main()
