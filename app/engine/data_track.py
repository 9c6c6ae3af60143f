"""Data tracks as scripts see them: push frames into one's own, read those of others.

The objects hold no wire: `data_tracks.py` keeps the publications and subscriptions behind them.
All belong to the room's loop.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.engine.data_publications import DataPublication
    from app.engine.data_subscriptions import DataSubscription

DEFAULT_BUFFERED_FRAMES = 16


class PublishDataTrackError(Exception):
    """A data track could not be published."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class PushFrameError(Exception):
    """A frame could not be sent."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class SubscribeDataTrackError(Exception):
    """A data track could not be subscribed to."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass
class DataTrackFrame:
    """One frame of a data track; the timestamp is the application's, usually Unix ms."""

    payload: bytes
    user_timestamp: int | None = None


@dataclass
class DataTrackInfo:
    """What is known of a data track. The sid changes when it is published again."""

    sid: str
    name: str
    uses_e2ee: bool


class LocalDataTrack:
    """A data track of ours."""

    def __init__(self, owned_info: DataPublication) -> None:
        self._publication = owned_info

    @property
    def info(self) -> DataTrackInfo:
        """What is known of it."""
        return self._publication.info

    def try_push(self, frame: DataTrackFrame) -> None:
        """Send a frame, or raise `PushFrameError`.

        Nothing is sent twice. When the network does not keep up, waiting frames give way to
        newer ones.
        """
        self._publication.push(bytes(frame.payload), frame.user_timestamp)

    def is_published(self) -> bool:
        """Say whether it is published; it is while the room reconnects."""
        return self._publication.is_published

    async def unpublish(self) -> None:
        """Take it back."""
        self._publication.unpublish()

    def __repr__(self) -> str:
        return f"rtc.LocalDataTrack(sid={self.info.sid}, name={self.info.name})"


class RemoteDataTrack:
    """A data track of somebody else."""

    def __init__(self, owned_info: DataSubscription) -> None:
        self._subscription = owned_info

    @property
    def info(self) -> DataTrackInfo:
        """What is known of it."""
        return self._subscription.info

    @property
    def publisher_identity(self) -> str:
        """Whose it is."""
        return self._subscription.identity

    def subscribe(self, *, buffer_size: int | None = None) -> DataTrackStream:
        """Ask for its frames; several streams share one subscription."""
        return self._subscription.open_stream(
            DEFAULT_BUFFERED_FRAMES if buffer_size is None else max(1, buffer_size)
        )

    def set_pipeline_options(self, *, max_partial_frames: int | None = None) -> None:
        """Choose how many unfinished frames are kept while their packets come out of order."""
        if max_partial_frames is not None:
            self._subscription.set_max_partial_frames(max(1, max_partial_frames))

    def is_published(self) -> bool:
        """Say whether it is published."""
        return self._subscription.is_published

    def __repr__(self) -> str:
        return (
            f"rtc.RemoteDataTrack(sid={self.info.sid}, name={self.info.name}, "
            f"publisher_identity={self.publisher_identity})"
        )


@dataclass
class StreamTicket:
    """What a subscription gives to a new stream."""

    subscription: DataSubscription
    buffered_frames: int


class DataTrackStream:
    """Frames of a data track, the newest when its reader is slow.

    Closing the last stream of a track ends the subscription; so does forgetting it.
    """

    def __init__(self, owned_info: StreamTicket) -> None:
        self._subscription = owned_info.subscription
        self._frames: deque[DataTrackFrame] = deque(maxlen=owned_info.buffered_frames)
        self._news = asyncio.Event()
        self._is_over = False
        self._is_closed = False
        self._error: str | None = None
        self.dropped_frames = 0
        weakref.finalize(self, _forgotten, asyncio.get_running_loop(), self._subscription)

    # For the subscription

    def handle_frame(self, frame: DataTrackFrame) -> None:
        """Keep a frame for the reader; a full buffer loses its oldest."""
        self.dropped_frames += len(self._frames) == self._frames.maxlen
        self._frames.append(frame)
        self._news.set()

    def handle_end(self, error: str | None = None) -> None:
        """End after what is buffered, in an error if there is one."""
        self._is_over = True
        self._error = error
        self._news.set()

    # For scripts

    async def read(self) -> DataTrackFrame | None:
        """Return the next frame, None at the end."""
        try:
            return await self.__anext__()
        except StopAsyncIteration:
            return None

    def __aiter__(self) -> AsyncIterator[DataTrackFrame]:
        return self

    async def __anext__(self) -> DataTrackFrame:
        while not self._is_closed:
            if self._frames:
                return self._frames.popleft()
            if self._is_over:
                error, self._error = self._error, None
                self._is_closed = True
                if error is not None:
                    raise SubscribeDataTrackError(error)
                break
            self._news.clear()
            await self._news.wait()
        raise StopAsyncIteration

    def close(self) -> None:
        """Stop; a reader that waits comes to the end."""
        if not self._is_closed:
            self._is_closed = True
            self._frames.clear()
            self._news.set()
            self._subscription.drop_stream(self)

    async def aclose(self) -> None:
        """Stop."""
        self.close()


def _forgotten(loop: asyncio.AbstractEventLoop, subscription: DataSubscription) -> None:
    """End the subscription when nobody reads; a collector may run on any thread."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(subscription.settle)
