"""Who in a room is told what of the others, and when: updates, the room's own facts, speakers.

An update is put together once for everybody. Hidden people are told of, and nobody is told of
them. What a participant does is told in every room that shows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from livekit.protocol import models, rtc

from app.server.room.forwarding import Guest, Windows
from app.server.room.update_batch import UpdateBatch

if TYPE_CHECKING:
    from app.server.room.participant import Participant

ROOM_UPDATE_DELAY_S = 0.5

States = models.ParticipantInfo


class Announcements:
    """Of one room; looks into the room's own lists of people. Lives on the server's loop."""

    def __init__(
        self,
        participants: Mapping[str, Participant],
        guests: Mapping[str, Guest],
        windows: Windows,
        room: Callable[[], models.Room],
    ) -> None:
        """`room` gives the room's facts as they are now."""
        self._participants = participants
        self._guests = guests
        self._windows = windows
        self._room = room
        self._loop = asyncio.get_running_loop()
        self._batch = UpdateBatch()
        self._batch_timer: asyncio.TimerHandle | None = None
        self._room_timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    # --- people

    def tell(self, participant: Participant, *, to_self: bool, may_wait: bool = False) -> None:
        """Tell of one who is in, here and wherever else it is shown."""
        update = _update_of(participant)
        if to_self:
            participant.send(update)
        if not participant.is_hidden:
            self._tell_others(participant, update, may_wait=may_wait)
            participant.told_bytes += update.ByteSize()
        for room, guest in self._windows.of(participant.sid):
            room.announcements.tell_of_guest(guest, may_wait=may_wait)

    def tell_of_guest(self, guest: Guest, *, may_wait: bool) -> None:
        """Tell of one who is shown here."""
        if not guest.is_hidden:
            self._tell_others(guest, _update_of(guest), may_wait=may_wait)

    def tell_gone(self, departed: models.ParticipantInfo) -> None:
        """Tell that somebody is not to be seen here any more."""
        self.forget(departed.sid)
        update = rtc.ParticipantUpdate(participants=[departed])
        self.broadcast(rtc.SignalResponse(update=update), except_sid=departed.sid)

    def tell_hidden(self, participant: Participant) -> None:
        """Tell the same, here and wherever it was shown, of somebody who stays unseen."""
        gone = participant.snapshot()
        gone.state = States.DISCONNECTED
        del gone.data_tracks[:]
        for room in self._windows.rooms_of(participant.sid):
            room.announcements.tell_gone(gone)
        self.tell_gone(gone)

    def forget(self, sid: str) -> None:
        """Nothing that waits is told of somebody any more."""
        self._batch.forget(sid)

    def broadcast(self, response: rtc.SignalResponse, *, except_sid: str = "") -> None:
        """Send a message to everybody in the room, while it is one."""
        if self._is_closed:
            return
        for sid, participant in self._participants.items():
            if sid != except_sid:
                participant.send(response)

    def _tell_others(
        self, person: Participant | Guest, update: rtc.SignalResponse, *, may_wait: bool
    ) -> None:
        people, now_s = len(self._participants), self._loop.time()
        if self._batch.handle_change(person.sid, may_wait=may_wait, people=people, now_s=now_s):
            self.broadcast(update, except_sid=person.sid)
        else:
            self._schedule_batch()

    def _schedule_batch(self) -> None:
        deadline_s = self._batch.deadline_s
        if self._batch_timer is None and deadline_s is not None and not self._is_closed:
            self._batch_timer = self._loop.call_at(deadline_s, self._send_batch)

    def _send_batch(self) -> None:
        self._batch_timer = None
        waiting = self._batch.handle_deadline(self._loop.time())
        known = (self._participants.get(sid) or self._guests.get(sid) for sid in waiting)
        infos = [p.snapshot() for p in known if p is not None and not p.is_hidden]
        if infos:
            self.broadcast(rtc.SignalResponse(update=rtc.ParticipantUpdate(participants=infos)))
        self._schedule_batch()

    # --- the room

    def room_changes(self) -> None:
        """Tell of the room's counts before long; several changes are told of once."""
        if self._room_timer is None and not self._is_closed:
            self._room_timer = self._loop.call_later(ROOM_UPDATE_DELAY_S, self.tell_of_room)

    def tell_of_room(self) -> None:
        """Tell of the room now."""
        if self._room_timer is not None:
            self._room_timer.cancel()
            self._room_timer = None
        self.broadcast(rtc.SignalResponse(room_update=rtc.RoomUpdate(room=self._room())))

    # --- who speaks

    def speakers_changed(self, deltas: Iterable[tuple[str, float, bool]]) -> None:
        """Tell who speaks, here and wherever the speakers are shown."""
        deltas = list(deltas)
        self.tell_speakers(deltas)
        shown: dict[Announcements, list[tuple[str, float, bool]]] = {}
        for delta in deltas:
            for room in self._windows.rooms_of(delta[0]):
                shown.setdefault(room.announcements, []).append(delta)
        for announcements, heard in shown.items():
            announcements.tell_speakers(heard)

    def tell_speakers(self, deltas: Iterable[tuple[str, float, bool]]) -> None:
        """Tell each who speaks among those it listens to, itself included."""
        speakers = {
            sid: models.SpeakerInfo(sid=sid, level=level, active=active)
            for sid, level, active in deltas
        }
        people = [self._participants.get(sid) or self._guests.get(sid) for sid in speakers]
        tracks = {p.sid: set(p.publisher.publications) for p in people if p is not None}
        for participant in self._participants.values() if speakers else ():
            heard = participant.subscriber.track_sids
            chosen = [
                speaker
                for sid, speaker in speakers.items()
                if sid == participant.sid or tracks.get(sid, set()) & heard
            ]
            if chosen:
                chosen.sort(key=lambda speaker: -speaker.level)
                changed = rtc.SpeakersChanged(speakers=chosen)
                participant.send(rtc.SignalResponse(speakers_changed=changed))

    def close(self) -> None:
        """The room is over: nothing more is told."""
        self._is_closed = True
        for timer in (self._room_timer, self._batch_timer):
            if timer is not None:
                timer.cancel()


def _update_of(person: Participant | Guest) -> rtc.SignalResponse:
    return rtc.SignalResponse(update=rtc.ParticipantUpdate(participants=[person.snapshot()]))


def departed(info: models.ParticipantInfo, reason: int) -> models.ParticipantInfo:
    """Return the last word on somebody."""
    last = models.ParticipantInfo()
    last.CopyFrom(info)
    del last.tracks[:]
    del last.data_tracks[:]
    last.is_publisher = False
    last.state = States.DISCONNECTED
    last.disconnect_reason = reason  # type: ignore[assignment]  # enums are ints
    return last
