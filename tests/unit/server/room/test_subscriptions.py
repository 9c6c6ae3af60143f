"""Who receives whose tracks, decided without media."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from livekit.protocol import models, rtc

from app.server.room.permissions import SubscriptionRules
from app.server.room.subscriptions import Subscriptions


class Downlinks:
    """A subscriber that only remembers what it was given."""

    def __init__(self) -> None:
        self.track_sids: set[str] = set()
        self.withheld: set[str] = set()

    def subscribe(self, publication: Any) -> None:
        self.track_sids.add(publication.sid)

    def unsubscribe(self, track_sid: str) -> None:
        self.track_sids.discard(track_sid)

    def forget(self, track_sid: str) -> None:
        self.track_sids.discard(track_sid)
        self.withheld.discard(track_sid)


class Person:
    def __init__(self, sid: str, *tracks: str, wants_all: bool = True) -> None:
        self.sid = self.identity = sid
        self.is_hidden = False
        self.rules = SubscriptionRules()
        self.info = models.ParticipantInfo()
        self.info.permission.can_subscribe = True
        self.settings = rtc.ConnectionSettings(auto_subscribe=wants_all)
        self.subscriber = Downlinks()
        self.told: list[tuple[str, bool]] = []
        publications = {sid: SimpleNamespace(sid=sid, is_announced=True) for sid in tracks}
        self.publisher = SimpleNamespace(publications=publications)

    def send(self, response: rtc.SignalResponse) -> None:
        update = response.subscription_permission_update
        self.told.append((update.track_sid, update.allowed))


def room_of(*people: Person, guests: tuple[Person, ...] = ()) -> Subscriptions:
    participants: Any = {person.sid: person for person in people}
    shown: Any = {person.sid: person for person in guests}
    return Subscriptions(participants, shown)


def track_of(person: Person) -> Any:
    return next(iter(person.publisher.publications.values()))


def test_a_newcomer_gets_everything_that_is_announced_and_its_own_track_never() -> None:
    ada, eve = Person("ada", "TR_a"), Person("eve", "TR_e")
    track_of(eve).is_announced = False
    bob, far = Person("bob", "TR_b"), Person("far", "TR_f")
    hidden = Person("ghost", "TR_g")
    hidden.is_hidden = True
    room_of(ada, eve, bob, hidden, guests=(far,)).welcome(bob)  # type: ignore[arg-type]
    assert bob.subscriber.track_sids == {"TR_a", "TR_f"}
    assert bob.told == []


def test_an_offer_reaches_those_who_want_everything() -> None:
    ada, bob, picky = Person("ada", "TR_a"), Person("bob"), Person("cid", wants_all=False)
    room = room_of(ada, bob, picky)
    room.offer(ada, track_of(ada))  # type: ignore[arg-type]
    assert (bob.subscriber.track_sids, picky.subscriber.track_sids) == ({"TR_a"}, set())
    room.request(picky, {"TR_a", "TR_unknown"}, subscribe=True)  # type: ignore[arg-type]
    assert picky.subscriber.track_sids == {"TR_a"}
    room.request(picky, {"TR_a"}, subscribe=False)  # type: ignore[arg-type]
    room.forget("TR_a")
    assert (bob.subscriber.track_sids, picky.subscriber.track_sids) == (set(), set())


def test_what_a_publisher_withholds_is_said_once_and_given_later() -> None:
    ada, bob = Person("ada", "TR_a"), Person("bob")
    ada.rules = SubscriptionRules(all_participants=False)
    room = room_of(ada, bob)
    room.offer(ada, track_of(ada))  # type: ignore[arg-type]
    room.offer(ada, track_of(ada))  # type: ignore[arg-type]
    assert (bob.subscriber.track_sids, bob.told) == (set(), [("TR_a", False)])
    ada.rules = SubscriptionRules()
    room.review(ada)  # type: ignore[arg-type]
    assert (bob.subscriber.track_sids, bob.told[1:]) == ({"TR_a"}, [("TR_a", True)])


def test_a_right_that_is_taken_takes_the_tracks() -> None:
    ada, bob = Person("ada", "TR_a"), Person("bob")
    room = room_of(ada, bob)
    room.welcome(bob)  # type: ignore[arg-type]
    bob.info.permission.can_subscribe = False
    room.review_received(bob)  # type: ignore[arg-type]
    assert (bob.subscriber.track_sids, bob.subscriber.withheld) == (set(), {"TR_a"})
    assert bob.told == [("TR_a", False)]
