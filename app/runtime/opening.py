"""Open files off the loop, so that a task that is cancelled meanwhile leaves none open."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import BinaryIO, Literal


async def open_off_loop(path: Path, mode: Literal["rb", "xb"]) -> BinaryIO:
    """Open on a worker thread; OSError as from `open`."""
    opening = asyncio.get_running_loop().run_in_executor(None, path.open, mode)
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        # The thread cannot be called back; what it opens has nobody else any more.
        opening.add_done_callback(_close)
        raise


def _close(opening: asyncio.Future[BinaryIO]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
