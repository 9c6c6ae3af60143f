"""What the program calls itself to the desktop, and its version."""

from __future__ import annotations

import functools
import getpass
import os
import sys
import tomllib
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication


def make_application() -> QApplication:
    """Make the QApplication with the product's identity."""
    existing = QApplication.instance()
    if isinstance(existing, QApplication):
        return existing
    QGuiApplication.setHighDpiScaleFactorRoundingPolicy(
        Qt.HighDpiScaleFactorRoundingPolicy.PassThrough
    )
    # qasync asks the environment which Qt it shall use.
    os.environ.setdefault("QT_API", "pyside6")
    app = QApplication([sys.argv[0]])
    app.setApplicationName("Lanai")
    app.setApplicationDisplayName("Lanai")
    app.setDesktopFileName("io.lanai.Lanai")
    app.setApplicationVersion(product_version())
    app.setQuitOnLastWindowClosed(False)
    return app


@functools.cache
def product_version() -> str:
    """Read the version where it is kept: the checkout's file, else the installed package's."""
    project = Path(__file__).parents[2] / "pyproject.toml"
    if project.is_file():
        return str(tomllib.loads(project.read_text("utf-8"))["project"]["version"])
    from importlib.metadata import version

    return version("lanai")


def login_name() -> str:
    """Return a name for somebody who gave none."""
    try:
        return getpass.getuser().capitalize()
    except (OSError, KeyError):
        return "Host"
