"""Our data tracks: asked for, promised, published again after a rejoin, taken back."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

import structlog
from livekit.protocol import models as lk_models
from livekit.protocol import rtc as lk_rtc

from app.engine.data_track import (
    DataTrackInfo,
    LocalDataTrack,
    PublishDataTrackError,
    PushFrameError,
)
from app.engine.data_track_sender import DataTrackSender
from app.protocol.data_track.packet import MAX_HANDLE, Extensions
from app.protocol.data_track.packetizer import FrameTooLargeError, Packetizer

log = structlog.get_logger(__name__)

PUBLISH_TIMEOUT_S = 10.0
MAX_USER_TIMESTAMP = 2**64 - 1

_Reasons = lk_rtc.RequestResponse
_REFUSALS = {
    _Reasons.NOT_ALLOWED: "no permission to publish data tracks",
    _Reasons.INVALID_NAME: "the track's name is empty or too long",
    _Reasons.DUPLICATE_NAME: "a track of this name is published already",
    _Reasons.LIMIT_EXCEEDED: "too many data tracks are published",
}


class DataPublication:
    """One track of ours; its handle, name and numbers outlive a connection."""

    def __init__(self, owner: DataPublications, info: lk_models.DataTrackInfo) -> None:
        self._owner = owner
        self._packetizer = Packetizer(info.pub_handle, base=random.getrandbits(32))
        self.wire = info
        self.info = described(info)
        self.is_published = True
        # While the room reconnects the server does not know the track.
        self.is_away = False

    @property
    def handle(self) -> int:
        """Our number for it."""
        return self.wire.pub_handle

    def push(self, payload: bytes, user_timestamp: int | None) -> None:
        """Split a frame and send it; raises `PushFrameError`."""
        if not self.is_published:
            raise PushFrameError("the track is not published")
        if self.is_away:
            raise PushFrameError("the room is reconnecting")
        if user_timestamp is not None and not 0 <= user_timestamp <= MAX_USER_TIMESTAMP:
            raise PushFrameError("a user timestamp has 64 bits")
        try:
            packets = self._packetizer.packetize(
                payload, time.monotonic(), Extensions(user_timestamp=user_timestamp)
            )
        except FrameTooLargeError as error:
            raise PushFrameError(str(error)) from error
        self._owner.sender.send(self.handle, packets)

    def unpublish(self) -> None:
        """Take the track back."""
        if self.is_published:
            self._owner.unpublish(self)


def described(info: lk_models.DataTrackInfo) -> DataTrackInfo:
    """Describe a track as scripts see it."""
    encrypted = info.encryption != lk_models.Encryption.NONE
    return DataTrackInfo(sid=info.sid, name=info.name, uses_e2ee=encrypted)


class DataPublications:
    """Everything that we publish as data tracks."""

    def __init__(
        self, send: Callable[[lk_rtc.SignalRequest], None], sender: DataTrackSender
    ) -> None:
        self._send = send
        self.sender = sender
        self._by_handle: dict[int, DataPublication] = {}
        self._pending: dict[int, asyncio.Future[lk_models.DataTrackInfo]] = {}
        self._last_handle = 0

    async def publish(self, name: str) -> LocalDataTrack:
        """Publish a track; raises `PublishDataTrackError`."""
        handle = self._next_handle()
        answer: asyncio.Future[lk_models.DataTrackInfo]
        answer = asyncio.get_running_loop().create_future()
        self._pending[handle] = answer
        self._send(_publish_request(handle, name))
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT_S):
                info = await answer
        except TimeoutError as error:
            raise PublishDataTrackError("the server did not answer") from error
        finally:
            self._pending.pop(handle, None)
        publication = DataPublication(self, info)
        self._by_handle[handle] = publication
        return LocalDataTrack(publication)

    def _next_handle(self) -> int:
        for _ in range(MAX_HANDLE):
            self._last_handle = self._last_handle % MAX_HANDLE + 1
            if self._last_handle not in self._by_handle | self._pending:
                return self._last_handle
        raise PublishDataTrackError("too many data tracks are published")

    def unpublish(self, publication: DataPublication) -> None:
        """Take a track back."""
        self._forget(publication)
        request = lk_rtc.UnpublishDataTrackRequest(pub_handle=publication.handle)
        self._send(lk_rtc.SignalRequest(unpublish_data_track_request=request))

    def _forget(self, publication: DataPublication) -> None:
        publication.is_published = False
        self._by_handle.pop(publication.handle, None)
        self.sender.forget(publication.handle)

    # --- what the server says

    def handle_published(self, info: lk_models.DataTrackInfo) -> None:
        """Take a promise, of a new track or of one that came back."""
        pending = self._pending.get(info.pub_handle)
        known = self._by_handle.get(info.pub_handle)
        if known is not None:
            known.wire = info
            known.info.sid = info.sid
            known.is_away = False
        elif pending is not None and not pending.done():
            pending.set_result(info)
        elif pending is None:
            # Nobody waits any more: leave nothing behind.
            request = lk_rtc.UnpublishDataTrackRequest(pub_handle=info.pub_handle)
            self._send(lk_rtc.SignalRequest(unpublish_data_track_request=request))

    def handle_unpublished(self, info: lk_models.DataTrackInfo) -> None:
        """Take the end of a track, asked for or not."""
        known = self._by_handle.get(info.pub_handle)
        if known is not None:
            self._forget(known)

    def handle_refused(self, response: lk_rtc.RequestResponse) -> None:
        """Take a refusal of a track."""
        handle = response.publish_data_track.pub_handle
        pending = self._pending.get(handle)
        if pending is not None and not pending.done():
            name = _Reasons.Reason.Name(response.reason)
            words = _REFUSALS.get(response.reason, f"refused: {name}")
            pending.set_exception(PublishDataTrackError(words))
        known = self._by_handle.get(handle)
        if known is not None and known.is_away:
            log.warning("data track not published again", track=known.info.sid)
            self._forget(known)

    # --- coming and going

    def sync_info(self) -> list[lk_rtc.PublishDataTrackResponse]:
        """Return what a resuming client says that it publishes."""
        return [lk_rtc.PublishDataTrackResponse(info=p.wire) for p in self._by_handle.values()]

    def handle_lost(self) -> None:
        """Take the loss of the connection: the tracks are away until `republish`."""
        self.sender.forget()
        for publication in self._by_handle.values():
            publication.is_away = True
        self._fail_pending("the room is reconnecting")

    def republish(self) -> None:
        """Ask for every track again, under its handle and name."""
        for publication in list(self._by_handle.values()):
            publication.is_away = True
            self._send(_publish_request(publication.handle, publication.info.name))

    def close(self) -> None:
        """Publish nothing any more."""
        for publication in list(self._by_handle.values()):
            self._forget(publication)
        self._fail_pending("the room was left")

    def _fail_pending(self, words: str) -> None:
        for pending in self._pending.values():
            if not pending.done():
                pending.set_exception(PublishDataTrackError(words))


def _publish_request(handle: int, name: str) -> lk_rtc.SignalRequest:
    request = lk_rtc.PublishDataTrackRequest(pub_handle=handle, name=name)
    return lk_rtc.SignalRequest(publish_data_track_request=request)
