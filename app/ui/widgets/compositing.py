"""Whether somebody blends translucent windows into what lies behind them.

Everywhere but on X11 that is part of the window system. There it is a program that may run or
not, and may come and go: it owns the selection `_NET_WM_CM_S` with the screen's number (the
window manager specification, "Compositing Managers"). Where it does not run, X11 shows what a
window leaves transparent as black. Belongs to the Qt thread.
"""

from __future__ import annotations

import ctypes
import functools
import os

import structlog
from PySide6.QtGui import QGuiApplication, QNativeInterface

log = structlog.get_logger(__name__)


def is_composited() -> bool:
    """Ask now: one round trip to the X server, nothing elsewhere."""
    if QGuiApplication.platformName() != "xcb":
        return True
    try:
        return _has_compositor()
    except (OSError, AttributeError, TypeError, ValueError) as error:
        # Square or cut edges look right with a compositor too; black ones never do.
        log.info("compositor unknown", error=type(error).__name__)
        return False


class _Cookie(ctypes.Structure):
    _fields_ = (("sequence", ctypes.c_uint),)


class _Reply(ctypes.Structure):
    """The answers to both questions: a head of 8 bytes, then an atom or a window."""

    _fields_ = (("head", ctypes.c_uint8 * 8), ("value", ctypes.c_uint32))


class _Xcb:
    """The two questions, on Qt's own connection."""

    def __init__(self) -> None:
        xcb = ctypes.CDLL("libxcb.so.1")
        self._ask_atom = xcb.xcb_intern_atom
        self._ask_atom.restype = _Cookie
        self._ask_atom.argtypes = (
            ctypes.c_void_p,
            ctypes.c_uint8,
            ctypes.c_uint16,
            ctypes.c_char_p,
        )
        self._ask_owner = xcb.xcb_get_selection_owner
        self._ask_owner.restype = _Cookie
        self._ask_owner.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
        self._take_atom, self._take_owner = (
            xcb.xcb_intern_atom_reply,
            xcb.xcb_get_selection_owner_reply,
        )
        for take in (self._take_atom, self._take_owner):
            take.restype = ctypes.c_void_p
            take.argtypes = (ctypes.c_void_p, _Cookie, ctypes.c_void_p)
        self._free = ctypes.CDLL(None).free
        self._free.restype, self._free.argtypes = None, (ctypes.c_void_p,)

    def atom(self, connection: int, name: bytes) -> int:
        cookie = self._ask_atom(connection, 0, len(name), name)
        return self._value(self._take_atom(connection, cookie, None))

    def owner(self, connection: int, atom: int) -> int:
        cookie = self._ask_owner(connection, atom)
        return self._value(self._take_owner(connection, cookie, None))

    def _value(self, reply: int | None) -> int:
        if reply is None:
            raise ValueError("no answer from the X server")
        value = int(_Reply.from_address(reply).value)
        self._free(reply)
        return value


@functools.cache
def _xcb() -> _Xcb:
    return _Xcb()


def _has_compositor() -> bool:
    app = QGuiApplication.instance()
    native = app.nativeInterface() if isinstance(app, QGuiApplication) else None
    if not isinstance(native, QNativeInterface.QX11Application):
        raise TypeError("no X connection")
    connection = int(native.connection())
    name = f"_NET_WM_CM_S{_screen_number(os.environ.get('DISPLAY', ''))}".encode()
    return _xcb().owner(connection, _xcb().atom(connection, name)) != 0


def _screen_number(display: str) -> int:
    """The number behind the dot of `host:display.screen`; 0 where there is none."""
    screen = display.rpartition(":")[2].partition(".")[2]
    return int(screen) if screen.isdigit() else 0
