"""Data tracks of one room: who publishes which, who receives what under which handle.

A publisher numbers its own tracks (`pub_handle`); every subscriber gets another number per track,
so all that forwarding does to a packet is to exchange two bytes. Nothing is parsed beyond the
lengths, nothing is sent again, and permissions are looked at when they change, never per packet.

A wish for a track lasts: for one not known (yet) 60 s, for one that is refused until it is taken
back, so that a later permission has its effect. Lives on the server's loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog
from livekit.protocol import models, rtc

from app.protocol.data_track.packet import MAX_HANDLE, peek_handle, with_handle
from app.server.room.data_downlink import ChannelPace, DataDownlink
from app.server.room.identifiers import fresh_id

if TYPE_CHECKING:
    from app.server.room.participant import Participant

log = structlog.get_logger(__name__)

MAX_NAME_BYTES = 256
MAX_ENCODING_BYTES = 32
# A publisher's sixty-four tracks and a subscriber's thousand are far beyond honest use.
MAX_TRACKS = 64
MAX_WISHES = 1_024
MAX_SID_CHARS = 64
UNKNOWN_TRACK_S = 60.0

Reasons = rtc.RequestResponse


@dataclass(slots=True)
class DataTrack:
    """One published track with its receivers by participant sid."""

    publisher: Participant
    info: models.DataTrackInfo
    downlinks: dict[str, DataDownlink] = field(default_factory=dict)

    @property
    def sid(self) -> str:
        """The server's name for it."""
        return self.info.sid


@dataclass(slots=True)
class _Desk:
    """What one participant publishes, by its own handles, and what it wants, by sid.

    `told` is what it knows of its permissions, `pace` how fast its channel is.
    """

    pace: ChannelPace
    tracks: dict[int, DataTrack] = field(default_factory=dict)
    wishes: dict[str, float] = field(default_factory=dict)
    told: dict[str, bool] = field(default_factory=dict)
    last_handle: int = 0


class DataTracks:
    """Publications, subscriptions and forwarding.

    `changed` tells the room about a publisher's new list, `may_subscribe` is the room's rule.
    """

    def __init__(
        self,
        *,
        changed: Callable[[Participant], None],
        may_subscribe: Callable[[Participant, Participant, str], bool],
    ) -> None:
        self._changed = changed
        self._may_subscribe = may_subscribe
        self._people: dict[str, Participant] = {}
        self._desks: dict[str, _Desk] = {}
        self._by_sid: dict[str, DataTrack] = {}
        # What people of other rooms publish who are shown here, by sid and handle.
        self._shown: dict[str, dict[int, DataTrack]] = {}
        self._loop = asyncio.get_running_loop()

    # --- people

    def join(
        self, participant: Participant, published: Sequence[models.DataTrackInfo] = ()
    ) -> None:
        """Let somebody publish and subscribe; what is there is subscribed to if asked for.

        `published` is what somebody brings along who comes from another room.
        """
        self._people[participant.sid] = participant
        desk = _Desk(ChannelPace(participant.transport, self._loop.time))
        self._desks[participant.sid] = desk
        participant.data_tracks = list(published)
        for info in published:
            track = desk.tracks[info.pub_handle] = DataTrack(participant, info)
            self._by_sid[track.sid] = track
            self._offer(track)
        if participant.settings.auto_subscribe_data_track:
            for track in self._by_sid.values():
                self._wish(participant, track.sid)
            self._settle(participant)

    def leave(self, participant: Participant) -> None:
        """End what somebody published and received."""
        desk = self._desks.pop(participant.sid, None)
        if desk is None:
            return
        del self._people[participant.sid]
        for _, downlink in self._received_by(participant):
            downlink.close()
        for track in self._by_sid.values():
            track.downlinks.pop(participant.sid, None)
        receivers = {sid for track in desk.tracks.values() for sid in self._end(track)}
        desk.tracks.clear()
        participant.data_tracks = ()
        for sid in receivers:
            self._send_handles(self._people[sid])

    def show(self, participant: Participant) -> None:
        """Make what somebody of another room publishes here the same as there."""
        shown = self._shown.setdefault(participant.sid, {})
        published = {info.sid: info for info in participant.data_tracks}
        self._end_shown([track for track in shown.values() if track.sid not in published])
        known = {track.sid for track in shown.values()}
        for info in published.values():
            if info.sid not in known:
                track = shown[info.pub_handle] = DataTrack(participant, info)
                self._by_sid[track.sid] = track
                self._offer(track)

    def hide(self, participant_sid: str) -> None:
        """Somebody of another room is shown no longer."""
        self._end_shown(list(self._shown.get(participant_sid, {}).values()))
        self._shown.pop(participant_sid, None)

    def _end_shown(self, tracks: list[DataTrack]) -> None:
        receivers = {sid for track in tracks for sid in self._end(track)}
        for track in tracks:
            self._shown[track.publisher.sid].pop(track.info.pub_handle, None)
        for sid in receivers:
            self._send_handles(self._people[sid])

    def infos(self, participant: Participant) -> list[models.DataTrackInfo]:
        """Return what the participant publishes."""
        desk = self._desks.get(participant.sid)
        return [] if desk is None else [track.info for track in desk.tracks.values()]

    def handle_request(self, participant: Participant, request: rtc.SignalRequest) -> None:
        """Act on one of the three requests about data tracks."""
        if participant.sid not in self._desks:
            return
        match request.WhichOneof("message"):
            case "publish_data_track_request":
                self.handle_publish(participant, request.publish_data_track_request)
            case "unpublish_data_track_request":
                self.handle_unpublish(participant, request.unpublish_data_track_request)
            case "update_data_subscription":
                self.handle_subscriptions(participant, request.update_data_subscription)
            case _:
                raise AssertionError("not about data tracks")

    # --- publishing

    def handle_publish(
        self, participant: Participant, request: rtc.PublishDataTrackRequest
    ) -> None:
        """Publish a track, or say why not."""
        refusal = self._refusal(participant, request)
        if refusal is not None:
            reason, message = refusal
            self._respond(
                participant,
                rtc.RequestResponse(reason=reason, message=message, publish_data_track=request),
            )
            return
        info = models.DataTrackInfo(
            pub_handle=request.pub_handle,
            sid=fresh_id("DTR_"),
            name=request.name,
            encryption=request.encryption,
        )
        if request.HasField("frame_encoding"):
            info.frame_encoding.CopyFrom(request.frame_encoding)
        if request.HasField("schema"):
            info.schema.CopyFrom(request.schema)
        track = DataTrack(participant, info)
        self._desks[participant.sid].tracks[info.pub_handle] = track
        self._by_sid[track.sid] = track
        participant.send(
            rtc.SignalResponse(publish_data_track_response=rtc.PublishDataTrackResponse(info=info))
        )
        self._changed(participant)
        log.info("data track published", participant=participant.sid, track=track.sid)
        self._offer(track)

    def _offer(self, track: DataTrack) -> None:
        """Let those have a track who want everything, or who have waited for it."""
        if track.publisher.is_hidden:
            return
        for other in list(self._people.values()):
            if other is track.publisher:
                continue
            if other.settings.auto_subscribe_data_track:
                self._wish(other, track.sid)
            if track.sid in self._desks[other.sid].wishes:
                self._settle(other)

    def offer_all(self, publisher: Participant) -> None:
        """Offer what somebody publishes who was hidden until now."""
        desk = self._desks.get(publisher.sid)
        tracks = self._shown.get(publisher.sid, {}) if desk is None else desk.tracks
        for track in list(tracks.values()):
            self._offer(track)

    def _refusal(
        self, participant: Participant, request: rtc.PublishDataTrackRequest
    ) -> tuple[rtc.RequestResponse.Reason, str] | None:
        if not participant.info.permission.can_publish_data:
            return Reasons.NOT_ALLOWED, "does not have permission to publish data"
        if not 0 < request.pub_handle <= MAX_HANDLE:
            return Reasons.INVALID_HANDLE, "a handle is a number from 1 to 65535"
        if not 0 < len(request.name.encode()) <= MAX_NAME_BYTES:
            return Reasons.INVALID_NAME, "a name has 1 to 256 bytes"
        if not _is_well_described(request):
            return Reasons.INVALID_REQUEST, "an encoding has 1 to 32 bytes"
        tracks = self._desks[participant.sid].tracks
        if request.pub_handle in tracks:
            return Reasons.DUPLICATE_HANDLE, "this handle is in use"
        if any(track.info.name == request.name for track in tracks.values()):
            return Reasons.DUPLICATE_NAME, "this name is in use"
        if len(tracks) >= MAX_TRACKS:
            return Reasons.LIMIT_EXCEEDED, "too many data tracks"
        return None

    def handle_unpublish(
        self, participant: Participant, request: rtc.UnpublishDataTrackRequest
    ) -> None:
        """Take a track back."""
        track = self._desks[participant.sid].tracks.get(request.pub_handle)
        if track is None:
            self._respond(
                participant,
                rtc.RequestResponse(reason=Reasons.NOT_FOUND, unpublish_data_track=request),
            )
            return
        self._unpublish([track])

    def _unpublish(self, tracks: list[DataTrack]) -> None:
        publisher = tracks[0].publisher
        receivers = {sid for track in tracks for sid in self._end(track)}
        self._changed(publisher)
        for sid in receivers:
            self._send_handles(self._people[sid])
        for track in tracks:
            publisher.send(
                rtc.SignalResponse(
                    unpublish_data_track_response=rtc.UnpublishDataTrackResponse(info=track.info)
                )
            )

    def _end(self, track: DataTrack) -> list[str]:
        """Forget a track; return the sids of those who received it."""
        self._by_sid.pop(track.sid, None)
        desk = self._desks.get(track.publisher.sid)
        if desk is not None:
            desk.tracks.pop(track.info.pub_handle, None)
        receivers, track.downlinks = track.downlinks, {}
        for downlink in receivers.values():
            downlink.close()
        for other in self._desks.values():
            other.wishes.pop(track.sid, None)
            other.told.pop(track.sid, None)
        log.info("data track ended", participant=track.publisher.sid, track=track.sid)
        return list(receivers)

    # --- subscribing

    def handle_subscriptions(
        self, participant: Participant, request: rtc.UpdateDataSubscription
    ) -> None:
        """Take wishes for tracks and the end of wishes."""
        desk = self._desks[participant.sid]
        self._drop_old_wishes(desk)
        is_less = False
        for update in request.updates:
            if update.subscribe:
                self._wish(participant, update.track_sid)
                continue
            desk.wishes.pop(update.track_sid, None)
            desk.told.pop(update.track_sid, None)
            track = self._by_sid.get(update.track_sid)
            downlink = None if track is None else track.downlinks.pop(participant.sid, None)
            if downlink is not None:
                downlink.close()
                is_less = True
        if is_less:
            self._send_handles(participant)
        self._settle(participant)

    def permissions_changed(self) -> None:
        """Look at everything again: somebody's rights or rules are others now."""
        for participant in list(self._people.values()):
            desk = self._desks[participant.sid]
            if desk.tracks and not participant.info.permission.can_publish_data:
                self._unpublish(list(desk.tracks.values()))
        for participant in list(self._people.values()):
            self._settle(participant)

    def resend(self, participant: Participant) -> None:
        """Tell a resumed client its handles again."""
        self._send_handles(participant)

    def _wish(self, participant: Participant, track_sid: str) -> None:
        wishes = self._desks[participant.sid].wishes
        if len(wishes) < MAX_WISHES and len(track_sid) <= MAX_SID_CHARS:
            wishes.setdefault(track_sid, self._loop.time())

    def _drop_old_wishes(self, desk: _Desk) -> None:
        """Wait no longer for tracks that have not come; once per request, which may be long."""
        now_s = self._loop.time()
        for sid in [s for s, at_s in desk.wishes.items() if now_s - at_s > UNKNOWN_TRACK_S]:
            if sid not in self._by_sid:
                del desk.wishes[sid]

    def _settle(self, participant: Participant) -> None:
        """Make the subscriptions what wishes and permissions allow."""
        desk = self._desks[participant.sid]
        has_changed = False
        for sid in list(desk.wishes):
            track = self._by_sid.get(sid)
            if track is None or track.publisher is participant:
                continue
            has_it = participant.sid in track.downlinks
            if track.publisher.is_hidden and not has_it:
                # Nobody has heard of it, and nobody learns of it by asking.
                continue
            allowed = self._may_subscribe(participant, track.publisher, sid)
            if allowed is not desk.told.get(sid):
                desk.told[sid] = allowed
                self._send_permission(participant, track, allowed=allowed)
            if allowed and not has_it:
                handle = self._next_handle(participant)
                track.downlinks[participant.sid] = DataDownlink(desk.pace, handle)
                has_changed = True
            elif has_it and not allowed:
                track.downlinks.pop(participant.sid).close()
                has_changed = True
        if has_changed:
            self._send_handles(participant)

    def _next_handle(self, participant: Participant) -> int:
        """Return a number that this subscriber has not in use, a new one each time."""
        desk = self._desks[participant.sid]
        used = {downlink.handle for _, downlink in self._received_by(participant)}
        while True:
            desk.last_handle = desk.last_handle % MAX_HANDLE + 1
            if desk.last_handle not in used:
                return desk.last_handle

    def _received_by(self, participant: Participant) -> list[tuple[DataTrack, DataDownlink]]:
        sid = participant.sid
        return [(t, t.downlinks[sid]) for t in self._by_sid.values() if sid in t.downlinks]

    def _send_handles(self, participant: Participant) -> None:
        published = rtc.DataTrackSubscriberHandles.PublishedDataTrack
        handles = {
            downlink.handle: published(
                publisher_identity=track.publisher.identity,
                publisher_sid=track.publisher.sid,
                track_sid=track.sid,
            )
            for track, downlink in self._received_by(participant)
        }
        participant.send(
            rtc.SignalResponse(
                data_track_subscriber_handles=rtc.DataTrackSubscriberHandles(sub_handles=handles)
            )
        )

    def _send_permission(self, to: Participant, track: DataTrack, *, allowed: bool) -> None:
        to.send(
            rtc.SignalResponse(
                subscription_permission_update=rtc.SubscriptionPermissionUpdate(
                    participant_sid=track.publisher.sid, track_sid=track.sid, allowed=allowed
                )
            )
        )

    def _respond(self, participant: Participant, response: rtc.RequestResponse) -> None:
        participant.send(rtc.SignalResponse(request_response=response))

    # --- packets

    def forward(self, sender_sid: str, data: bytes) -> int | None:
        """Pass a packet on to those who receive its track (hot path).

        Returns to how many there was room to send it, None when there is no such track.
        """
        desk = self._desks.get(sender_sid)
        tracks = self._shown.get(sender_sid) if desk is None else desk.tracks
        track = None if tracks is None else tracks.get(peek_handle(data))
        if track is None:
            return None
        flags, sent = data[0], 0
        for downlink in track.downlinks.values():
            if downlink.has_room(flags):
                sent += downlink.send(with_handle(data, downlink.wire_handle))
        return sent


def _is_well_described(request: rtc.PublishDataTrackRequest) -> bool:
    """Whether custom encodings, of frames or of their schema, have names of bounded length."""
    if len(request.schema.name.encode()) > MAX_NAME_BYTES:
        return False
    encodings = (request.frame_encoding, request.schema.encoding)
    return all(
        0 < len(encoding.custom.encode()) <= MAX_ENCODING_BYTES
        for encoding in encodings
        if encoding.WhichOneof("value") == "custom"
    )
