from __future__ import annotations

from livekit.protocol import models, rtc

from app.server.room.signal_channel import DOUBT_S, MAX_KEPT, MAX_KEPT_BYTES, SignalChannel


class Socket:
    """A sink that keeps what it was given."""

    def __init__(self) -> None:
        self.sent: list[str | None] = []
        self.is_closed = False

    def send(self, response: rtc.SignalResponse) -> None:
        self.sent.append(response.WhichOneof("message"))

    def close(self) -> None:
        self.is_closed = True

    async def wait_closed(self) -> None:
        return


class Scene:
    """A channel on its first socket, and a clock."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.socket = Socket()
        self.channel = SignalChannel(self.socket, lambda: self.now_s)

    def swap(self) -> list[str | None]:
        return [r.WhichOneof("message") for r in self.channel.swap(Socket())]


def published(cid: str = "c") -> rtc.SignalResponse:
    return rtc.SignalResponse(track_published=rtc.TrackPublishedResponse(cid=cid))


def left(identity: str, sid: str) -> rtc.SignalResponse:
    gone = models.ParticipantInfo(
        sid=sid, identity=identity, state=models.ParticipantInfo.DISCONNECTED, metadata="long"
    )
    return rtc.SignalResponse(update=rtc.ParticipantUpdate(participants=[gone]))


MUTE = rtc.SignalResponse(mute=rtc.MuteTrackRequest(sid="TR_1", muted=True))
MOVED = rtc.SignalResponse(room_moved=rtc.RoomMovedResponse(token="t"))


def test_what_a_resume_does_not_say_anyway_waits_for_the_next_socket_in_order() -> None:
    scene = Scene()
    assert scene.channel.detach(scene.socket)
    for response in (MOVED, published(), left("bob", "PA_1"), MUTE, rtc.SignalResponse(pong=1)):
        scene.channel.send(response)
    assert scene.socket.sent == []

    assert scene.swap() == ["room_moved", "track_published", "mute"]
    assert scene.swap() == []


def test_an_answer_that_may_have_died_with_the_old_socket_is_owed_again() -> None:
    scene = Scene()
    scene.channel.send(published("old"))
    scene.now_s += DOUBT_S + 1
    scene.channel.send(published("new"))
    scene.channel.send(MUTE)
    scene.channel.detach(scene.socket)

    assert [r.track_published.cid for r in scene.channel.swap(Socket())] == ["new"]


def test_a_client_that_has_missed_too_much_cannot_resume() -> None:
    scene = Scene()
    scene.channel.detach(scene.socket)
    for _ in range(MAX_KEPT):
        scene.channel.send(MUTE)
    assert scene.channel.can_resume
    scene.channel.send(MUTE)
    assert not scene.channel.can_resume


def test_who_left_since_the_client_was_last_heard_is_named_again() -> None:
    scene = Scene()
    scene.channel.send(left("ann", "PA_1"))
    scene.now_s += 1
    scene.channel.note_heard()
    scene.now_s += 1
    scene.channel.send(left("bob", "PA_2"))
    scene.channel.detach(scene.socket)
    scene.channel.send(left("cid", "PA_3"))
    scene.channel.send(left("dee", "PA_4"))

    departed = scene.channel.departed(present={"dee"})
    assert [info.identity for info in departed] == ["bob", "cid"]
    assert {info.metadata for info in departed} == {""}


def test_the_end_of_a_socket_that_was_replaced_changes_nothing() -> None:
    scene = Scene()
    newer = Socket()
    scene.channel.swap(newer)
    assert scene.socket.is_closed
    assert not scene.channel.detach(scene.socket)
    assert scene.channel.is_on(newer)


def test_a_dropped_socket_gets_what_was_queued_and_nothing_more() -> None:
    scene = Scene()
    scene.channel.drop()
    assert scene.socket.is_closed
    scene.channel.send(published())
    assert scene.socket.sent == []
    assert scene.swap() == ["track_published"]


def test_after_the_end_nothing_is_kept() -> None:
    scene = Scene()
    scene.channel.detach(scene.socket)
    scene.channel.close()
    assert not scene.channel.can_resume


def test_refusals_that_repeat_large_requests_are_not_kept_without_end() -> None:
    scene = Scene()
    for number in range(60):
        update = rtc.UpdateParticipantMetadata(metadata=str(number % 10) * 500_000)
        refused = rtc.RequestResponse(request_id=number, update_metadata=update)
        scene.channel.send(rtc.SignalResponse(request_response=refused))
    owed = scene.channel.swap(Socket())
    assert 0 < sum(response.ByteSize() for response in owed) <= MAX_KEPT_BYTES
    assert owed[-1].request_response.request_id == 59


def test_of_those_who_left_no_more_is_kept_than_is_said() -> None:
    scene = Scene()
    for number in range(50):
        response = left("mallory", f"PA_{number}")
        response.update.participants[0].metadata = "m" * 500_000
        scene.channel.send(response)
    kept = scene.channel._departed.values()
    assert len(kept) == 50
    assert sum(info.ByteSize() for _, info in kept) < 5_000
