"""Whole windows, as the home page's tests open them."""

from __future__ import annotations

from tests.gui.home.conftest import open_window

__all__ = ["open_window"]
