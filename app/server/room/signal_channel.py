"""One participant's signalling, whatever socket carries it at the moment. Sans-IO.

A socket may break while media and data go on; the client then comes back on another one and
resumes. What the resume tells anyway (people, the room, a token, a new answer) is not kept
meanwhile. Everything else is: an answer that a client waits for, or a track that was taken from
it, would otherwise never be heard of. So are answers of the last moments before a loss, which
may have died with the old socket; clients ignore what they have no question for.

What waits is bounded: a client that has missed more than that cannot resume, it joins anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container

from livekit.protocol import models, rtc

from app.server.room.ports import SignalSink

MAX_KEPT = 256
MAX_KEPT_BYTES = 1 << 20
# A client notices a silent socket after 15 s; its last answers may be older by a ping.
DOUBT_S = 20.0
MAX_DOUBTFUL = 64
MAX_DEPARTED = 1_000

# The resume itself says these, or they concern the old socket alone. A slot requirement is
# made again from the offer that every resuming client sends.
_COVERED = frozenset(
    {
        "join",
        "reconnect",
        "update",
        "room_update",
        "refresh_token",
        "pong",
        "pong_resp",
        "offer",
        "answer",
        "trickle",
        "media_sections_requirement",
        "leave",
    }
)
# Hearing one of these twice does nothing.
_ANSWERS = frozenset(
    {
        "track_published",
        "request_response",
        "subscription_response",
        "publish_data_track_response",
        "unpublish_data_track_response",
    }
)


class SignalChannel:
    """Where a participant's messages go; keeps what must not be lost while no socket is there."""

    def __init__(self, sink: SignalSink, now_s: Callable[[], float]) -> None:
        self._sink = sink
        self._now_s = now_s
        self._is_attached = True
        self._is_closed = False
        self._kept: list[rtc.SignalResponse] = []
        self._kept_bytes = 0
        self._has_overflowed = False
        self._doubtful: deque[tuple[float, rtc.SignalResponse]] = deque()
        self._doubtful_bytes = 0
        self._departed: dict[str, tuple[float, models.ParticipantInfo]] = {}
        self._heard_s = now_s()

    @property
    def is_attached(self) -> bool:
        """Whether there is a socket."""
        return self._is_attached

    @property
    def can_resume(self) -> bool:
        """Whether another socket may go on where this one stopped."""
        return not (self._is_closed or self._has_overflowed)

    def is_on(self, sink: SignalSink) -> bool:
        """Whether this is the socket in use."""
        return self._is_attached and self._sink is sink

    def note_heard(self) -> None:
        """Take note that the client has sent something."""
        self._heard_s = self._now_s()

    def send(self, response: rtc.SignalResponse) -> None:
        """Send a message, or keep it for the next socket."""
        kind = response.WhichOneof("message")
        if kind == "update":
            self._note_departed(response.update)
        if self._is_attached:
            if kind in _ANSWERS:
                self._doubt(response)
            self._sink.send(response)
        elif kind not in _COVERED and self.can_resume:
            self._keep(response)

    def _keep(self, response: rtc.SignalResponse) -> None:
        self._kept.append(response)
        self._kept_bytes += response.ByteSize()
        if len(self._kept) > MAX_KEPT or self._kept_bytes > MAX_KEPT_BYTES:
            self._has_overflowed = True
            self._kept.clear()

    def _doubt(self, response: rtc.SignalResponse) -> None:
        """Keep an answer for a while; refusals repeat the whole request, so bytes count."""
        now_s, doubtful = self._now_s(), self._doubtful
        doubtful.append((now_s, response))
        self._doubtful_bytes += response.ByteSize()
        while doubtful and (
            len(doubtful) > MAX_DOUBTFUL
            or self._doubtful_bytes > MAX_KEPT_BYTES
            or now_s - doubtful[0][0] > DOUBT_S
        ):
            self._doubtful_bytes -= doubtful.popleft()[1].ByteSize()

    def _note_departed(self, update: rtc.ParticipantUpdate) -> None:
        for info in update.participants:
            if info.state == models.ParticipantInfo.DISCONNECTED:
                # No more of it than a resume says: metadata may be half a megabyte.
                gone = models.ParticipantInfo(
                    sid=info.sid,
                    identity=info.identity,
                    version=info.version,
                    state=info.state,
                    disconnect_reason=info.disconnect_reason,
                )
                self._departed[info.sid] = (self._now_s(), gone)
        while len(self._departed) > MAX_DEPARTED:
            del self._departed[next(iter(self._departed))]

    # --- from one socket to the next

    def detach(self, sink: SignalSink) -> bool:
        """Take note of a socket's end; False when another one is in use already."""
        if not self.is_on(sink):
            return False
        self._is_attached = False
        return True

    def drop(self) -> None:
        """Give the socket up: what is queued leaves, then the client has to come back."""
        self._sink.close()
        self._is_attached = False

    def swap(self, sink: SignalSink) -> list[rtc.SignalResponse]:
        """Go on with another socket; return what the client may still have to hear, in order."""
        if self._is_attached:
            self._sink.close()
        self._sink, self._is_attached = sink, True
        now_s = self._now_s()
        owed = [response for at_s, response in self._doubtful if now_s - at_s <= DOUBT_S]
        owed += self._kept
        self._doubtful.clear()
        self._doubtful_bytes = 0
        self._kept, self._kept_bytes = [], 0
        return owed

    def departed(self, present: Container[str]) -> list[models.ParticipantInfo]:
        """Return who left since the client was last heard.

        Not those whose identity is back: clients that match by it would end the new stay.
        """
        return [
            info
            for at_s, info in self._departed.values()
            if at_s >= self._heard_s and info.identity not in present
        ]

    def close(self) -> None:
        """Send what is queued, then close for good."""
        self._is_closed = True
        self._kept.clear()
        self._sink.close()

    async def wait_closed(self) -> None:
        """Return when the newest socket is closed."""
        await self._sink.wait_closed()
