"""People of another room who are shown in this one too (RoomService.ForwardParticipant).

A guest is the same participant seen through another room's window: same sid, same tracks, same
words, with `FORWARDED` among its kind details. It hears and sees nothing of the room it is
shown in. Everything about it comes from its own room, which holds the list of windows; it ends
when the participant leaves or moves, when it is removed here, or when this room closes.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from livekit.protocol import models

from app.protocol.token import Claims
from app.server.room.data_flow import DataFlow
from app.server.room.data_router import DataSender, Passes
from app.server.room.permissions import SubscriptionRules
from app.server.room.publisher import Publisher

if TYPE_CHECKING:
    from app.server.room.participant import Participant
    from app.server.room.room import Room


class Guest:
    """A participant as another room shows it."""

    def __init__(self, participant: Participant, home: Room, passes: Passes | None = None) -> None:
        """`passes` is what the rules of the room it is shown in say of its packets."""
        self.participant = participant
        self.home = home
        # Its numbers are counted here too: each room drops repeated packets by itself.
        self._sender = dataclasses.replace(participant.data_sender, last_sequence=0, passes=passes)

    @property
    def sid(self) -> str:
        """The sid of its stay at home."""
        return self.participant.sid

    @property
    def identity(self) -> str:
        """The identity of its stay at home."""
        return self.participant.identity

    @property
    def data_flow(self) -> DataFlow:
        """What its data costs, wherever it is shown."""
        return self.participant.data_flow

    @property
    def claims(self) -> Claims:
        """What it may do, at home."""
        return self.participant.claims

    @property
    def publisher(self) -> Publisher:
        """Its tracks."""
        return self.participant.publisher

    @property
    def rules(self) -> SubscriptionRules:
        """Who may have its tracks, as it says itself."""
        return self.participant.rules

    @property
    def is_hidden(self) -> bool:
        """Whether nobody hears of it."""
        return self.participant.is_hidden

    @property
    def is_dependent(self) -> bool:
        """Whether it keeps no room open."""
        return self.participant.is_dependent

    @property
    def is_publisher(self) -> bool:
        """Whether any of its tracks is announced."""
        return self.participant.is_publisher

    @property
    def data_sender(self) -> DataSender:
        """What routing knows of it here."""
        home = self.participant.data_sender
        self._sender.may_publish_data, self._sender.hidden = home.may_publish_data, home.hidden
        return self._sender

    def snapshot(self) -> models.ParticipantInfo:
        """Return what this room sees of it."""
        info = self.participant.snapshot()
        if models.ParticipantInfo.FORWARDED not in info.kind_details:
            info.kind_details.append(models.ParticipantInfo.FORWARDED)
        return info


class Windows:
    """In which other rooms the people of one room are shown."""

    def __init__(self) -> None:
        self._by_sid: dict[str, dict[Room, Guest]] = {}

    def open(self, guest: Guest, room: Room) -> None:
        """Show somebody there from now on."""
        self._by_sid.setdefault(guest.sid, {})[room] = guest

    def close(self, sid: str, room: Room) -> None:
        """Show somebody there no longer."""
        rooms = self._by_sid.get(sid, {})
        rooms.pop(room, None)
        if not rooms:
            self._by_sid.pop(sid, None)

    def of(self, sid: str) -> list[tuple[Room, Guest]]:
        """Return where somebody is shown."""
        return list(self._by_sid.get(sid, {}).items())

    def rooms_of(self, sid: str) -> list[Room]:
        """Return the rooms in which somebody is shown."""
        return list(self._by_sid.get(sid, ()))

    def is_shown(self, sid: str, room: Room) -> bool:
        """Whether somebody is shown there already."""
        return room in self._by_sid.get(sid, {})
