"""Raw DEFLATE as streams v2 carry it: one continuous deflate stream, cut at any point.

An inflater never makes more than it is asked for at once, so what a peer can make us hold is
bounded by who asks and not by what the compressed bytes claim.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from app.protocol.errors import ProtocolError

_RAW_WINDOW = -15
_PIECE_BYTES = 64 * 1024
_QUICK_ABOVE_BYTES = 256 * 1024


def deflate(data: bytes) -> bytes:
    """Compress all of `data`; long ones quickly rather than well."""
    level = 1 if len(data) > _QUICK_ABOVE_BYTES else 6
    packer = zlib.compressobj(level, zlib.DEFLATED, _RAW_WINDOW)
    return packer.compress(data) + packer.flush()


class Deflater:
    """Compresses a long payload bit by bit into pieces of one size; may live on any one thread."""

    def __init__(self, piece_bytes: int) -> None:
        self._piece_bytes = piece_bytes
        self._packer = zlib.compressobj(1, zlib.DEFLATED, _RAW_WINDOW)
        self._waiting = bytearray()

    def push(self, data: bytes) -> list[bytes]:
        """Take more and return the pieces that are full."""
        self._waiting += self._packer.compress(data)
        return self._full_pieces()

    def finish(self) -> list[bytes]:
        """Return what is left; nothing may be pushed any more."""
        self._waiting += self._packer.flush()
        pieces = self._full_pieces()
        if self._waiting:
            pieces.append(bytes(self._waiting))
        return pieces

    def _full_pieces(self) -> list[bytes]:
        size = self._piece_bytes
        end = len(self._waiting) - len(self._waiting) % size
        pieces = [bytes(self._waiting[start : start + size]) for start in range(0, end, size)]
        del self._waiting[:end]
        return pieces


class Inflater:
    """Undoes it, one stream long."""

    def __init__(self) -> None:
        self._unpacker = zlib.decompressobj(_RAW_WINDOW)
        self._was_fed = False

    @property
    def is_complete(self) -> bool:
        """Whether the deflate stream has reached its end mark, or never began."""
        return self._unpacker.eof or not self._was_fed

    def push(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` adds, at most 64 KiB at a time; ProtocolError when it is damaged.

        Whoever has seen enough stops iterating: nothing is inflated ahead.
        """
        while True:
            self._was_fed = self._was_fed or bool(data)
            try:
                piece = self._unpacker.decompress(data, _PIECE_BYTES)
            except zlib.error as error:
                raise ProtocolError("stream does not inflate") from error
            if piece:
                yield piece
            if self._unpacker.unused_data:
                raise ProtocolError("bytes after the end of a compressed stream")
            data = self._unpacker.unconsumed_tail
            if not data and len(piece) < _PIECE_BYTES:
                return
