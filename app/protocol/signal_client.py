"""The client's side of signalling as a state machine: what a frame means, what to send, when.

One object per session. CONNECTING until the first message, which has to be `join` (a `leave`
there is a refusal); JOINED until `leave`, silence or the socket's end. Then the session is AWAY
(CLOSED after a `leave` that wants no resume): `resume` begins another socket, RESUMING until its
first message, `reconnect`, and HOLDING until `release`. Requests made in between wait and go out
in order, after the join or the release; those that a resume itself consists of do not wait.
Messages that need no decision here come back as `Received`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum

from google.protobuf.message import DecodeError, Message
from livekit.protocol import models as lk_models
from livekit.protocol import rtc as lk_rtc

from app.protocol.errors import ProtocolError

FIRST_MESSAGE_TIMEOUT_S = 5.0
PUBLISH_TIMEOUT_S = 10.0
RESPONSE_TIMEOUT_S = 5.0
DEFAULT_PING_INTERVAL_S = 5.0
DEFAULT_PING_TIMEOUT_S = 15.0
MAX_QUEUED_REQUESTS = 256
MAX_FRAME_BYTES = 2 << 20


class LossCause(StrEnum):
    """Why a connection counts as lost."""

    CLOSED = "closed"
    SILENT = "silent"
    NO_WELCOME = "no welcome"


@dataclass(frozen=True)
class Send:
    """Write this request to the socket."""

    request: lk_rtc.SignalRequest


@dataclass(frozen=True)
class Joined:
    """The server's welcome."""

    join: lk_rtc.JoinResponse


@dataclass(frozen=True)
class Resumed:
    """The server goes on with the session; `release` is due once media has its way."""

    reconnect: lk_rtc.ReconnectResponse


@dataclass(frozen=True)
class Left:
    """The server sent `leave`; the socket is of no more use."""

    leave: lk_rtc.LeaveRequest


@dataclass(frozen=True)
class Lost:
    """The connection is gone without a `leave`."""

    cause: LossCause


@dataclass(frozen=True)
class TokenRefreshed:
    """A newer token for the next join."""

    token: str


@dataclass(frozen=True)
class TrackPublished:
    """The answer to an `add_track`."""

    cid: str
    track: lk_models.TrackInfo


@dataclass(frozen=True)
class RequestFailed:
    """An `add_track` that was refused or never answered (`reason` None)."""

    cid: str
    reason: lk_rtc.RequestResponse.Reason | None
    detail: str


@dataclass(frozen=True)
class Responded:
    """The answer to a numbered request; `reason` None when none came in time."""

    request_id: int
    reason: lk_rtc.RequestResponse.Reason | None
    detail: str


@dataclass(frozen=True)
class Received:
    """Any other message: `kind` is its name in `SignalResponse`."""

    kind: str
    message: Message


Output = (
    Send
    | Joined
    | Resumed
    | Left
    | Lost
    | TokenRefreshed
    | TrackPublished
    | RequestFailed
    | Responded
    | Received
)


class _State(Enum):
    CONNECTING = 1
    JOINED = 2
    CLOSED = 3
    AWAY = 4
    RESUMING = 5
    HOLDING = 6


_LIVE = frozenset({_State.JOINED, _State.HOLDING})
# What a resume consists of; everything else waits until it is complete.
_URGENT = frozenset({"offer", "answer", "trickle", "sync_state", "simulate", "leave"})
_ONE_SOCKET = frozenset({"ping", "ping_req"})


def parse_response(frame: bytes) -> lk_rtc.SignalResponse:
    """Read one binary frame of the server."""
    if len(frame) > MAX_FRAME_BYTES:
        raise ProtocolError("signal frame too long")
    try:
        return lk_rtc.SignalResponse.FromString(frame)
    except (DecodeError, ValueError) as error:
        raise ProtocolError("signal frame does not parse") from error


class SignalClient:
    """Signalling of one connection."""

    def __init__(self, now_s: float) -> None:
        self._state = _State.CONNECTING
        self._queue: deque[lk_rtc.SignalRequest] = deque()
        self._welcome_due_s = now_s + FIRST_MESSAGE_TIMEOUT_S
        self._ping_interval_s = DEFAULT_PING_INTERVAL_S
        self._ping_timeout_s = DEFAULT_PING_TIMEOUT_S
        self._ping_due_s = 0.0
        self._heard_s = now_s
        self._publishing: dict[str, float] = {}
        self._asked: dict[int, float] = {}
        self._next_request_id = 1
        self.round_trip_s = 0.0

    @property
    def is_joined(self) -> bool:
        """Whether requests go out at once."""
        return self._state is _State.JOINED

    @property
    def is_live(self) -> bool:
        """Whether the server hears us: joined, or resumed and about to be released."""
        return self._state in _LIVE

    @property
    def deadline_s(self) -> float | None:
        """When to call `handle_deadline`; None when closed."""
        if self._state is _State.CLOSED:
            return None
        if self._state is _State.CONNECTING:
            return self._welcome_due_s
        due_s = [*self._publishing.values(), *self._asked.values()]
        if self._state is _State.RESUMING:
            due_s.append(self._welcome_due_s)
        elif self._state in _LIVE:
            due_s += [self._ping_due_s, self._heard_s + self._ping_timeout_s]
        return min(due_s, default=None)

    # --- requests ----------------------------------------------------------------------------

    def send(self, request: lk_rtc.SignalRequest) -> list[Output]:
        """Send a request, or keep it until the join or the end of a resume."""
        kind = request.WhichOneof("message")
        if self._state is _State.JOINED or (self._state is _State.HOLDING and kind in _URGENT):
            return [Send(request)]
        if self._state is not _State.CLOSED:
            self._wait_with(request)
        return []

    def _wait_with(self, request: lk_rtc.SignalRequest) -> None:
        # What is urgent is made anew by the resume: an old offer is of no use then.
        is_outdated = self._state in (_State.AWAY, _State.RESUMING) and (
            request.WhichOneof("message") in _URGENT | _ONE_SOCKET
        )
        if not is_outdated and len(self._queue) < MAX_QUEUED_REQUESTS:
            self._queue.append(request)

    def add_track(self, request: lk_rtc.AddTrackRequest, now_s: float) -> list[Output]:
        """Announce a track; `TrackPublished` or `RequestFailed` with its cid follows."""
        self._publishing[request.cid] = now_s + PUBLISH_TIMEOUT_S
        return self.send(lk_rtc.SignalRequest(add_track=request))

    def update_metadata(
        self, request: lk_rtc.UpdateParticipantMetadata, now_s: float
    ) -> tuple[int, list[Output]]:
        """Ask for new metadata; `Responded` with the returned number follows."""
        number = self._next_request_id
        self._next_request_id += 1
        request.request_id = number
        self._asked[number] = now_s + RESPONSE_TIMEOUT_S
        return number, self.send(lk_rtc.SignalRequest(update_metadata=request))

    def leave(self) -> list[Output]:
        """Say goodbye and close."""
        was_joined = self.is_live
        self._state = _State.CLOSED
        if not was_joined:
            return []
        leave = lk_rtc.LeaveRequest(
            reason=lk_models.DisconnectReason.CLIENT_INITIATED,
            action=lk_rtc.LeaveRequest.DISCONNECT,
        )
        return [Send(lk_rtc.SignalRequest(leave=leave))]

    # --- resuming ----------------------------------------------------------------------------

    def resume(self, now_s: float, unsent: Sequence[lk_rtc.SignalRequest] = ()) -> None:
        """Begin with another socket; `unsent` is what the old one did not take."""
        if self._state is _State.CLOSED:
            return
        self._state = _State.RESUMING
        self._welcome_due_s = now_s + FIRST_MESSAGE_TIMEOUT_S
        self._heard_s = now_s
        waiting, self._queue = self._queue, deque()
        for request in (*unsent, *waiting):
            self._wait_with(request)

    def release(self) -> list[Output]:
        """Send what has waited: the resume is complete."""
        if self._state is not _State.HOLDING:
            return []
        self._state = _State.JOINED
        queued, self._queue = list(self._queue), deque()
        return [Send(request) for request in queued]

    # --- inputs ------------------------------------------------------------------------------

    def handle_message(self, response: lk_rtc.SignalResponse, now_s: float) -> list[Output]:
        """Take one message of the server. Unknown variants are skipped."""
        if self._state in (_State.CLOSED, _State.AWAY):
            return []
        self._heard_s = now_s
        kind = response.WhichOneof("message")
        if kind is None:
            return []
        if self._state is _State.CONNECTING:
            return self._first(kind, response, now_s)
        if self._state is _State.RESUMING:
            return self._first_again(kind, response, now_s)
        return self._later(kind, response, now_s)

    def _first(self, kind: str, response: lk_rtc.SignalResponse, now_s: float) -> list[Output]:
        if kind == "leave":
            self._state = _State.CLOSED
            return [Left(response.leave)]
        if kind != "join":
            raise ProtocolError("first message is neither join nor leave")
        join = response.join
        if not join.participant.sid or not join.participant.identity:
            raise ProtocolError("join without participant")
        self._state = _State.JOINED
        self._ping_interval_s = float(join.ping_interval) or DEFAULT_PING_INTERVAL_S
        self._ping_timeout_s = float(join.ping_timeout) or DEFAULT_PING_TIMEOUT_S
        self._ping_due_s = now_s
        queued, self._queue = list(self._queue), deque()
        return [Joined(join), *(Send(request) for request in queued)]

    def _first_again(
        self, kind: str, response: lk_rtc.SignalResponse, now_s: float
    ) -> list[Output]:
        if kind == "leave":
            return self._left(response.leave)
        if kind != "reconnect":
            raise ProtocolError("first message is neither reconnect nor leave")
        self._state = _State.HOLDING
        self._ping_due_s = now_s
        return [Resumed(response.reconnect)]

    def _left(self, leave: lk_rtc.LeaveRequest) -> list[Output]:
        resumes = leave.action == lk_rtc.LeaveRequest.RESUME
        self._state = _State.AWAY if resumes else _State.CLOSED
        return [Left(leave)]

    def _later(self, kind: str, response: lk_rtc.SignalResponse, now_s: float) -> list[Output]:
        if kind == "leave":
            return self._left(response.leave)
        if kind == "pong_resp":
            sent_ms = response.pong_resp.last_ping_timestamp
            self.round_trip_s = max(0.0, now_s - sent_ms / 1000.0) if sent_ms else 0.0
            return []
        if kind == "pong":
            return []
        if kind == "refresh_token":
            return [TokenRefreshed(response.refresh_token)] if response.refresh_token else []
        if kind == "track_published":
            published = response.track_published
            self._publishing.pop(published.cid, None)
            return [TrackPublished(published.cid, published.track)]
        if kind == "request_response":
            return self._responded(response.request_response)
        return [Received(kind, getattr(response, kind))]

    def _responded(self, response: lk_rtc.RequestResponse) -> list[Output]:
        if response.WhichOneof("request") == "add_track":
            cid = response.add_track.cid
            # QUEUED: a second announcement of a cid in use; its answer is still to come.
            waiting = response.reason in (lk_rtc.RequestResponse.OK, lk_rtc.RequestResponse.QUEUED)
            if waiting or self._publishing.pop(cid, None) is None:
                return []
            return [RequestFailed(cid, response.reason, response.message)]
        if self._asked.pop(response.request_id, None) is not None:
            return [Responded(response.request_id, response.reason, response.message)]
        return [Received("request_response", response)]

    def handle_deadline(self, now_s: float) -> list[Output]:
        """Do what is due: a ping, a timeout."""
        if self._state is _State.CLOSED:
            return []
        if self._state is _State.CONNECTING:
            if now_s < self._welcome_due_s:
                return []
            self._state = _State.CLOSED
            return [Lost(LossCause.NO_WELCOME)]
        if self._state is _State.RESUMING and now_s >= self._welcome_due_s:
            self._state = _State.AWAY
            return [Lost(LossCause.NO_WELCOME)]
        if self.is_live and now_s >= self._heard_s + self._ping_timeout_s:
            self._state = _State.AWAY
            return [Lost(LossCause.SILENT)]
        outputs: list[Output] = []
        for cid in [cid for cid, due_s in self._publishing.items() if now_s >= due_s]:
            del self._publishing[cid]
            outputs.append(RequestFailed(cid, None, "the server did not answer"))
        for number in [number for number, due_s in self._asked.items() if now_s >= due_s]:
            del self._asked[number]
            outputs.append(Responded(number, None, "the server did not answer"))
        if self.is_live and now_s >= self._ping_due_s:
            self._ping_due_s = now_s + self._ping_interval_s
            ping = lk_rtc.Ping(timestamp=int(now_s * 1000), rtt=int(self.round_trip_s * 1000))
            outputs.append(Send(lk_rtc.SignalRequest(ping_req=ping)))
        return outputs

    def handle_closed(self) -> list[Output]:
        """Take the socket's end."""
        if self._state in (_State.CLOSED, _State.AWAY):
            return []
        self._state = _State.CLOSED if self._state is _State.CONNECTING else _State.AWAY
        return [Lost(LossCause.CLOSED)]
