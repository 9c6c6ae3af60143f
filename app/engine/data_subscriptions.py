"""Data tracks of others: who publishes which, which we receive, and their frames.

A track is known by its publisher's identity and handle, for its sid changes when the publisher
rejoins. The subscription then moves to the new sid, and streams go on. Publishers who may come
back are given `RETURN_S` for it before their tracks count as unpublished.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import structlog
from livekit.protocol import models as lk_models
from livekit.protocol import rtc as lk_rtc

from app.engine.data_publications import described
from app.engine.data_track import (
    DataTrackFrame,
    DataTrackStream,
    RemoteDataTrack,
    StreamTicket,
)
from app.protocol.data_track.depacketizer import Depacketizer
from app.protocol.data_track.packet import Packet, parse_packet
from app.protocol.errors import ProtocolError

log = structlog.get_logger(__name__)

SUBSCRIBE_TIMEOUT_S = 10.0
RETURN_S = 10.0
MAX_TRACKS = 4_096

TrackKey = tuple[str, int]
EventName = Literal["data_track_published", "data_track_unpublished"]


class DataSubscription:
    """One remote track: its streams, and whether its frames come."""

    def __init__(
        self, owner: DataSubscriptions, identity: str, info: lk_models.DataTrackInfo
    ) -> None:
        self._owner = owner
        self._depacketizer = Depacketizer()
        self._streams: weakref.WeakSet[DataTrackStream] = weakref.WeakSet()
        self._timer: asyncio.TimerHandle | None = None
        self.identity = identity
        self.handle = info.pub_handle
        self.info = described(info)
        self.track = RemoteDataTrack(self)
        self.is_published = True
        self.is_wanted = False
        self.has_frames = False
        # The publisher left and may come back.
        self.is_absent = False

    def set_max_partial_frames(self, count: int) -> None:
        """Choose how many unfinished frames are kept."""
        self._depacketizer.max_partial_frames = count

    def open_stream(self, buffered_frames: int) -> DataTrackStream:
        """Give out one more stream; the first one asks the server."""
        stream = DataTrackStream(StreamTicket(self, buffered_frames))
        if not self.is_published:
            stream.handle_end("the track is not published")
            return stream
        self._streams.add(stream)
        if not self.is_wanted:
            self.is_wanted = True
            self._owner.request(self, subscribe=True)
        if not self.has_frames and self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(SUBSCRIBE_TIMEOUT_S, self._on_timeout)
        return stream

    def drop_stream(self, stream: DataTrackStream) -> None:
        """Forget a stream."""
        self._streams.discard(stream)
        self.settle()

    def settle(self) -> None:
        """End the subscription when nobody reads any more."""
        if self.is_wanted and not self._streams:
            self.is_wanted = self.has_frames = False
            self._stop_timer()
            self._depacketizer = Depacketizer(self._depacketizer.max_partial_frames)
            if self.is_published:
                self._owner.request(self, subscribe=False)

    def _on_timeout(self) -> None:
        self._timer = None
        streams = list(self._streams)
        self._streams.clear()
        self.settle()
        for stream in streams:
            stream.handle_end("the server did not answer the subscription")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def handle_granted(self) -> None:
        """Take note that frames come from now on."""
        self.has_frames = True
        self._stop_timer()

    def handle_packet(self, packet: Packet) -> None:
        """Take a packet; streams get the frame that it completes (hot path)."""
        frame = self._depacketizer.push(packet)
        if frame is None:
            return
        if frame.extensions.encryption is not None:
            # Its key is not ours to have: end-to-end encryption is not set up.
            self._owner.undecrypted_frames += 1
            return
        given = DataTrackFrame(frame.payload, frame.extensions.user_timestamp)
        for stream in list(self._streams):
            stream.handle_frame(given)

    def handle_new_sid(self, info: lk_models.DataTrackInfo) -> None:
        """Move to the sid under which the publisher is back."""
        self.info.sid = info.sid
        self.has_frames = False
        # Its numbers may have begun anew with it.
        self._depacketizer = Depacketizer(self._depacketizer.max_partial_frames)
        if self.is_wanted:
            self._owner.request(self, subscribe=True)

    def end(self) -> None:
        """Take the end of the track."""
        self.is_published = self.is_wanted = self.has_frames = False
        self._stop_timer()
        for stream in list(self._streams):
            stream.handle_end()
        self._streams.clear()


class DataSubscriptions:
    """Everything that others publish as data tracks.

    `emit` is called with `data_track_published` and `data_track_unpublished`.
    """

    def __init__(self, send: Callable[[lk_rtc.SignalRequest], None]) -> None:
        self._send = send
        self._tracks: dict[TrackKey, DataSubscription] = {}
        self._by_sub_handle: dict[int, DataSubscription] = {}
        self._returns: dict[str, asyncio.TimerHandle] = {}
        self.emit: Callable[[EventName, object], None] = lambda *_: None
        self.stray_packets = 0
        self.undecrypted_frames = 0

    # --- who publishes what

    def handle_person(self, identity: str, infos: Iterable[lk_models.DataTrackInfo]) -> None:
        """Take over what somebody publishes now."""
        present = {info.pub_handle: info for info in infos}
        for handle, info in present.items():
            known = self._tracks.get((identity, handle))
            if known is not None and known.info.name != info.name:
                self._end(known)
                known = None
            if known is None:
                self._begin(identity, info)
                continue
            known.is_absent = False
            if known.info.sid != info.sid:
                known.handle_new_sid(info)
        self._end_all(
            each for each in self._of(identity) if each.handle not in present and not each.is_absent
        )

    def handle_left(self, identity: str, *, may_return: bool) -> None:
        """Take note that somebody left, for good or perhaps only to come back."""
        theirs = self._of(identity)
        for each in theirs:
            each.is_absent = True
        if not may_return:
            self._give_up(identity)
        elif identity not in self._returns and theirs:
            loop = asyncio.get_running_loop()
            self._returns[identity] = loop.call_later(RETURN_S, self._give_up, identity)

    def _give_up(self, identity: str) -> None:
        timer = self._returns.pop(identity, None)
        if timer is not None:
            timer.cancel()
        self._end_all(each for each in self._of(identity) if each.is_absent)

    def _of(self, identity: str) -> list[DataSubscription]:
        return [each for key, each in self._tracks.items() if key[0] == identity]

    def _begin(self, identity: str, info: lk_models.DataTrackInfo) -> None:
        if not info.pub_handle > 0 or len(self._tracks) >= MAX_TRACKS:
            return
        subscription = DataSubscription(self, identity, info)
        self._tracks[identity, info.pub_handle] = subscription
        self.emit("data_track_published", subscription.track)

    def _end_all(self, ended: Iterable[DataSubscription]) -> None:
        for subscription in list(ended):
            self._end(subscription)

    def _end(self, subscription: DataSubscription) -> None:
        del self._tracks[subscription.identity, subscription.handle]
        for handle in [h for h, each in self._by_sub_handle.items() if each is subscription]:
            del self._by_sub_handle[handle]
        subscription.end()
        self.emit("data_track_unpublished", subscription.info.sid)

    # --- what we receive

    def request(self, subscription: DataSubscription, *, subscribe: bool) -> None:
        """Ask the server for a track, or give it up."""
        self._send(
            lk_rtc.SignalRequest(
                update_data_subscription=subscription_update([subscription.info.sid], subscribe)
            )
        )

    def handle_handles(
        self, handles: Mapping[int, lk_rtc.DataTrackSubscriberHandles.PublishedDataTrack]
    ) -> None:
        """Take the complete map of what reaches us under which number."""
        by_sid = {each.info.sid: each for each in self._tracks.values()}
        self._by_sub_handle = {}
        for each in self._tracks.values():
            each.has_frames = False
        for handle, track in handles.items():
            subscription = by_sid.get(track.track_sid)
            if subscription is not None and subscription.is_wanted:
                self._by_sub_handle[handle] = subscription
                subscription.handle_granted()

    def handle_packet(self, data: bytes) -> None:
        """Take a message of `_data_track` (hot path)."""
        try:
            packet = parse_packet(data)
        except ProtocolError as error:
            self.stray_packets += 1
            log.debug("data-track packet dropped", reason=error.reason)
            return
        subscription = self._by_sub_handle.get(packet.handle)
        if subscription is None:
            self.stray_packets += 1
            return
        subscription.handle_packet(packet)

    # --- coming and going

    def wanted(self) -> lk_rtc.UpdateDataSubscription:
        """Return what we are subscribed to, as a resuming client says it."""
        sids = [each.info.sid for each in self._tracks.values() if each.is_wanted]
        return subscription_update(sids, subscribe=True)

    def repeat_requests(self) -> None:
        """Ask again for everything that has readers: the server knows nothing of it."""
        wanted = self.wanted()
        if wanted.updates:
            self._send(lk_rtc.SignalRequest(update_data_subscription=wanted))

    def handle_lost(self) -> None:
        """Take the loss of the connection: handles of its time mean nothing now."""
        self._by_sub_handle = {}
        for each in self._tracks.values():
            each.has_frames = False

    def close(self) -> None:
        """End every stream."""
        for timer in self._returns.values():
            timer.cancel()
        self._returns.clear()
        for subscription in self._tracks.values():
            subscription.end()
        self._tracks.clear()
        self._by_sub_handle.clear()


def subscription_update(sids: list[str], subscribe: bool) -> lk_rtc.UpdateDataSubscription:
    """Return the request for these tracks."""
    updates = [
        lk_rtc.UpdateDataSubscription.Update(track_sid=sid, subscribe=subscribe) for sid in sids
    ]
    return lk_rtc.UpdateDataSubscription(updates=updates)
