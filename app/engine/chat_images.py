"""Pictures that come with chat lines: kept in a folder of the meeting, gone when it ends.

Only kinds that the window can show, of a known size, and only so much of them in all; whatever
else comes is a file like any other. A picture is written in blocks on a worker thread and is
whole when its length is right. Names on disk are ours: a peer's name never becomes a path.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from app.protocol.errors import ProtocolError
from app.runtime.errors import Reason, WorldError
from app.runtime.opening import open_off_loop

MAX_IMAGE_BYTES = 20_000_000
MAX_ALL_BYTES = 200_000_000
MAX_IMAGES = 500
_BLOCK_BYTES = 256 * 1024
_SUFFIXES = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "image/bmp": ".bmp",
}


class ChatImages:
    """The pictures of one meeting; belongs to the engine thread."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._count = 0
        self._bytes = 0

    def takes(self, mime_type: str, size_bytes: int | None) -> bool:
        """Whether a stream is a picture that is kept here."""
        return (
            mime_type in _SUFFIXES
            and size_bytes is not None
            and 0 < size_bytes <= MAX_IMAGE_BYTES
            and self._bytes + size_bytes <= MAX_ALL_BYTES
            and self._count < MAX_IMAGES
        )

    async def save(self, chunks: AsyncIterator[bytes], mime_type: str, size_bytes: int) -> Path:
        """Write a picture that `takes` agreed to; raises when it is not whole."""
        self._count += 1
        self._bytes += size_bytes
        number = self._count
        try:
            if self._folder is None:
                made = await asyncio.to_thread(tempfile.mkdtemp, prefix="lanai-chat-")
                self._folder = self._folder or Path(made)
            path = self._folder / f"picture-{number}{_SUFFIXES[mime_type]}"
            file = await open_off_loop(path, "xb")
            with file:
                await _write_all(file, chunks, size_bytes)
        except OSError as error:
            raise WorldError(Reason.DISK_FULL, detail=type(error).__name__) from error
        return path

    async def aclose(self) -> None:
        """Delete them all."""
        if self._folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)


async def _write_all(file: BinaryIO, chunks: AsyncIterator[bytes], size_bytes: int) -> None:
    waiting, done = bytearray(), 0
    async for chunk in chunks:
        waiting += chunk
        done += len(chunk)
        if done > size_bytes:
            raise ProtocolError("chat: picture longer than announced")
        if len(waiting) >= _BLOCK_BYTES:
            await asyncio.to_thread(file.write, bytes(waiting))
            waiting.clear()
    await asyncio.to_thread(file.write, bytes(waiting))
    if done != size_bytes:
        raise ProtocolError("chat: picture cut short")
