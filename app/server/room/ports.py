"""What a participant expects of the world above it: its socket, and its room."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from livekit.protocol import rtc

from app.server.room.publication import Publication

if TYPE_CHECKING:
    from app.server.room.participant import Participant


class SignalSink(Protocol):
    """The far end of the signalling socket."""

    def send(self, response: rtc.SignalResponse) -> None:
        """Queue one message; never blocks, never raises."""

    def close(self) -> None:
        """Send what is queued, then close the socket."""

    async def wait_closed(self) -> None:
        """Return when the socket is closed."""


class RoomEvents(Protocol):
    """What the room does for its participants."""

    def participant_changed(self, participant: Participant) -> None:
        """Tell everybody at once."""

    def participant_described(self, participant: Participant) -> None:
        """Tell everybody of a name, metadata or attributes, in a big room a moment later."""

    def participant_permitted(self, participant: Participant, *, was_hidden: bool) -> None:
        """Tell everybody of new rights, and apply them to subscriptions."""

    def participant_active(self, participant: Participant) -> None:
        """Media flows."""

    def participant_left(self, participant: Participant, reason: int) -> None:
        """Remove it from the room."""

    def claims_changed(self, participant: Participant) -> None:
        """Hand out a token with the new claims."""

    def track_announced(self, participant: Participant, publication: Publication) -> None:
        """Tell everybody and subscribe those who want everything."""

    def track_ended(self, participant: Participant, publication: Publication) -> None:
        """Tell everybody and end the subscriptions."""

    def track_subscribed(self, publication: Publication) -> None:
        """Tell the publisher that somebody listens."""

    def subscription_requested(
        self, participant: Participant, track_sids: set[str], subscribe: bool
    ) -> None:
        """Subscribe or unsubscribe."""

    def permissions_changed(self, participant: Participant) -> None:
        """Look again who may subscribe to this participant's tracks."""

    def settings_requested(
        self, participant: Participant, request: rtc.UpdateTrackSettings
    ) -> None:
        """Apply what a subscriber wants of its downlinks."""

    def speaking_simulated(self, participant: Participant, seconds: float) -> None:
        """Let the participant seem to speak."""

    def data_received(self, participant: Participant, label: str, data: bytes) -> None:
        """Route a data packet."""

    def data_over_budget(self, label: str, size_bytes: int) -> None:
        """Count a data packet that is not passed on, because its sender sends too many."""

    def data_track_requested(self, participant: Participant, request: rtc.SignalRequest) -> None:
        """Publish, unpublish or subscribe to data tracks."""
