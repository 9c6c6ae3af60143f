"""Who in a room receives whose tracks: wishes, rights and the publisher's own rules.

Nobody is subscribed to a track that is not announced, or to somebody hidden: clients drop media
of people they have not heard of. A track that is refused is remembered as withheld, so that a
right given later brings it. The subscriber's side, slots and media, is `subscriber`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from livekit.protocol import rtc

from app.server.room.publication import Publication

if TYPE_CHECKING:
    from app.server.room.forwarding import Guest
    from app.server.room.participant import Participant


class Subscriptions:
    """Of one room; looks into the room's own lists of people."""

    def __init__(
        self, participants: Mapping[str, Participant], guests: Mapping[str, Guest]
    ) -> None:
        self._participants = participants
        self._guests = guests

    def offer(self, publisher: Participant | Guest, publication: Publication) -> None:
        """Subscribe those who want everything."""
        for other in self._participants.values():
            if other.settings.auto_subscribe:
                self._subscribe(other, publisher, publication)

    def welcome(self, participant: Participant) -> None:
        """Subscribe a newcomer who wants everything."""
        if participant.settings.auto_subscribe:
            for publisher, publication in self._published().values():
                self._subscribe(participant, publisher, publication)

    def request(self, participant: Participant, track_sids: set[str], *, subscribe: bool) -> None:
        """Subscribe to announced tracks, or stop."""
        known = self._published()
        for track_sid in track_sids:
            if not subscribe:
                participant.subscriber.withheld.discard(track_sid)
                participant.subscriber.unsubscribe(track_sid)
            elif track_sid in known:
                self._subscribe(participant, *known[track_sid])

    def apply_settings(self, participant: Participant, request: rtc.UpdateTrackSettings) -> None:
        """Apply what a subscriber wants of its downlinks."""
        known = {sid: publication for sid, (_, publication) in self._published().items()}
        participant.subscriber.apply_settings(request, known)

    def review(self, publisher: Participant | Guest) -> None:
        """Look again who may have somebody's tracks."""
        for publication in publisher.publisher.publications.values():
            for other in self._participants.values():
                self._review(other, publisher, publication)

    def review_received(self, subscriber: Participant) -> None:
        """Look again what somebody may have."""
        for publisher, publication in self._published().values():
            self._review(subscriber, publisher, publication)

    def forget(self, track_sid: str) -> None:
        """A track has ended, or is to be seen here no longer."""
        for other in self._participants.values():
            other.subscriber.forget(track_sid)

    def may_subscribe(
        self, subscriber: Participant, publisher: Participant | Guest, track_sid: str
    ) -> bool:
        """Whether somebody may have a track, of media or data."""
        return (
            subscriber.info.permission.can_subscribe
            and not publisher.is_hidden
            and publisher.rules.allows(
                sid=subscriber.sid, identity=subscriber.identity, track_sid=track_sid
            )
        )

    def _published(self) -> Mapping[str, tuple[Participant | Guest, Publication]]:
        people: list[Participant | Guest] = [*self._participants.values(), *self._guests.values()]
        return {
            publication.sid: (person, publication)
            for person in people
            for publication in person.publisher.publications.values()
            if publication.is_announced
        }

    def _subscribe(
        self, subscriber: Participant, publisher: Participant | Guest, publication: Publication
    ) -> None:
        if subscriber is publisher or publisher.is_hidden or not publication.is_announced:
            return
        if self.may_subscribe(subscriber, publisher, publication.sid):
            subscriber.subscriber.subscribe(publication)
        elif publication.sid not in subscriber.subscriber.withheld:
            subscriber.subscriber.withheld.add(publication.sid)
            if subscriber.info.permission.can_subscribe:
                _tell_permission(subscriber, publisher, publication, allowed=False)

    def _review(
        self, other: Participant, publisher: Participant | Guest, publication: Publication
    ) -> None:
        if other is publisher or not publication.is_announced:
            return
        allowed = self.may_subscribe(other, publisher, publication.sid)
        subscriber = other.subscriber
        if publication.sid in subscriber.track_sids and not allowed:
            subscriber.unsubscribe(publication.sid)
            subscriber.withheld.add(publication.sid)
            _tell_permission(other, publisher, publication, allowed=False)
        elif allowed and publication.sid in subscriber.withheld:
            subscriber.withheld.discard(publication.sid)
            _tell_permission(other, publisher, publication, allowed=True)
            subscriber.subscribe(publication)


def _tell_permission(
    to: Participant, publisher: Participant | Guest, publication: Publication, *, allowed: bool
) -> None:
    update = rtc.SubscriptionPermissionUpdate(
        participant_sid=publisher.sid, track_sid=publication.sid, allowed=allowed
    )
    to.send(rtc.SignalResponse(subscription_permission_update=update))
