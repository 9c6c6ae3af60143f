"""Takes screenshots of the live window, 1280 by 800."""

from __future__ import annotations

import asyncio
from pathlib import Path

from PySide6.QtWidgets import QWidget

WIDTH, HEIGHT = 1280, 800
_SETTLE_S = 0.45


class Cameraman:
    """Saves what the window shows; without a folder it only lets the window settle."""

    def __init__(self, window: QWidget, folder: Path | None) -> None:
        self._window = window
        self._folder = folder
        self.taken: list[str] = []
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def is_present(self) -> bool:
        """Whether anybody wants pictures."""
        return self._folder is not None

    async def take(self, name: str, *, settle: bool = True) -> None:
        """Save the window as `name`.png, after animations came to rest."""
        if self._folder is None:
            return
        if settle:
            await asyncio.sleep(_SETTLE_S)
        picture = self._window.grab().scaled(WIDTH, HEIGHT)
        path = self._folder / f"{name}.png"
        if not picture.save(str(path)):
            raise OSError(f"{path} cannot be written")
        self.taken.append(path.name)
