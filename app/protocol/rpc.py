"""Calls between participants, both directions, in both versions of the wire.

Version 1 carries request and answer in packets of limited size, version 2 as text streams of
any size; acknowledgements and errors are packets in either. A request is acknowledged before
anything else happens. An answer counts in whichever form it comes, but only from the identity
that was called. An answer goes back in the form of its request, and a request is run once.

Sans-IO: the owner says what arrived and what time it is, and performs the actions in order.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from livekit.protocol.models import DataPacket

from app.protocol.errors import ProtocolError
from app.protocol.streams.negotiation import RPC_STREAMS_PROTOCOL

REQUEST_TOPIC = "lk.rpc_request"
RESPONSE_TOPIC = "lk.rpc_response"
TOPICS = (REQUEST_TOPIC, RESPONSE_TOPIC)
ID_ATTRIBUTE = "lk.rpc_request_id"
METHOD_ATTRIBUTE = "lk.rpc_request_method"
TIMEOUT_ATTRIBUTE = "lk.rpc_request_response_timeout_ms"
VERSION_ATTRIBUTE = "lk.rpc_request_version"

MAX_PACKET_PAYLOAD_BYTES = 15_360
MAX_MESSAGE_BYTES = 256
MAX_STREAM_PAYLOAD_BYTES = 16_000_000
DEFAULT_ROUND_TRIP_S = 7.0
DEFAULT_RESPONSE_TIMEOUT_S = 15.0
LEAST_ANSWER_S = 1.0
REMEMBERED_REQUESTS = 512
MAX_RUNNING_REQUESTS = 256
MAX_RUNNING_OF_ONE = 64
OLDEST_SERVER = (1, 8, 0)


class RpcCode(IntEnum):
    """The protocol's own errors; 1001 to 1999 are reserved for it."""

    UNSUPPORTED_METHOD = 1400
    RECIPIENT_NOT_FOUND = 1401
    REQUEST_PAYLOAD_TOO_LARGE = 1402
    UNSUPPORTED_SERVER = 1403
    UNSUPPORTED_VERSION = 1404
    APPLICATION_ERROR = 1500
    CONNECTION_TIMEOUT = 1501
    RESPONSE_TIMEOUT = 1502
    RECIPIENT_DISCONNECTED = 1503
    RESPONSE_PAYLOAD_TOO_LARGE = 1504
    SEND_FAILED = 1505


MESSAGES: Mapping[RpcCode, str] = {
    RpcCode.UNSUPPORTED_METHOD: "Method not supported at destination",
    RpcCode.RECIPIENT_NOT_FOUND: "Recipient not found",
    RpcCode.REQUEST_PAYLOAD_TOO_LARGE: "Request payload too large",
    RpcCode.UNSUPPORTED_SERVER: "RPC not supported by server",
    RpcCode.UNSUPPORTED_VERSION: "Unsupported RPC version",
    RpcCode.APPLICATION_ERROR: "Application error in method handler",
    RpcCode.CONNECTION_TIMEOUT: "Connection timeout",
    RpcCode.RESPONSE_TIMEOUT: "Response timeout",
    RpcCode.RECIPIENT_DISCONNECTED: "Recipient disconnected",
    RpcCode.RESPONSE_PAYLOAD_TOO_LARGE: "Response payload too large",
    RpcCode.SEND_FAILED: "Failed to send",
}


@dataclass(frozen=True, slots=True)
class RpcFailure:
    """How a call failed; `code` is the application's own outside 1001 to 1999."""

    code: int
    message: str
    data: str = ""

    @classmethod
    def built_in(cls, code: RpcCode) -> RpcFailure:
        """One of the protocol's own."""
        return cls(code, MESSAGES[code])


@dataclass(frozen=True, slots=True)
class Call:
    """A call that goes out. `peer_protocol` is the `client_protocol` of who is called."""

    id: str
    destination: str
    method: str
    payload: str
    response_timeout_s: float = DEFAULT_RESPONSE_TIMEOUT_S
    round_trip_s: float = DEFAULT_ROUND_TRIP_S
    peer_protocol: int = 0


@dataclass(frozen=True, slots=True)
class RequestKey:
    """What tells one request from another: ids are the caller's own."""

    caller: str
    id: str


@dataclass(frozen=True, slots=True)
class SendPacket:
    """Send reliably. A call whose request this is fails when it cannot be sent."""

    packet: DataPacket
    call_id: str = ""


@dataclass(frozen=True, slots=True)
class SendText:
    """Send a whole text stream to one participant."""

    topic: str
    destination: str
    text: str
    attributes: Mapping[str, str]
    call_id: str = ""


@dataclass(frozen=True, slots=True)
class CallEnded:
    """A call has its answer: the payload or a failure."""

    id: str
    payload: str = ""
    failure: RpcFailure | None = None


@dataclass(frozen=True, slots=True)
class Invoke:
    """Run a handler, then tell `answer`."""

    key: RequestKey
    method: str
    payload: str
    response_timeout_s: float


@dataclass(frozen=True, slots=True)
class StopInvocation:
    """Nobody waits for this handler any more: stop it, then tell `answer` all the same."""

    key: RequestKey
    code: RpcCode


Action = SendPacket | SendText | CallEnded | Invoke | StopInvocation


@dataclass(slots=True)
class _Pending:
    call: Call
    deadline_s: float
    acknowledged: bool = False


@dataclass(slots=True)
class _Running:
    is_stream: bool
    method: str
    response_timeout_s: float
    deadline_s: float | None = None


def supports_rpc(server_version: str) -> bool:
    """Whether a server forwards calls; one that does not say is believed to."""
    try:
        numbers = tuple(int(part) for part in server_version.split("-")[0].split(".")[:3])
    except ValueError:
        return True
    return len(numbers) < 3 or numbers >= OLDEST_SERVER


class RpcMachine:
    """All calls of one room."""

    def __init__(self) -> None:
        self._pending: dict[str, _Pending] = {}
        self._running: dict[RequestKey, _Running] = {}
        self._known: OrderedDict[RequestKey, None] = OrderedDict()
        self.server_version = ""

    # -- calling ----------------------------------------------------------------------------

    def call(self, call: Call, now_s: float) -> list[Action]:
        """Begin a call, or fail it at once."""
        if not supports_rpc(self.server_version):
            return [_failed(call.id, RpcCode.UNSUPPORTED_SERVER)]
        by_stream = call.peer_protocol >= RPC_STREAMS_PROTOCOL
        size = len(call.payload.encode(errors="replace"))
        if size > (MAX_STREAM_PAYLOAD_BYTES if by_stream else MAX_PACKET_PAYLOAD_BYTES):
            return [_failed(call.id, RpcCode.REQUEST_PAYLOAD_TOO_LARGE)]
        self._pending[call.id] = _Pending(call, now_s + call.round_trip_s)
        answer_s = max(call.response_timeout_s - call.round_trip_s, LEAST_ANSWER_S)
        timeout_ms = int(answer_s * 1000)
        return [_stream_request(call, timeout_ms) if by_stream else _request(call, timeout_ms)]

    def give_up(self, call_id: str) -> None:
        """Nobody waits for this call any more."""
        self._pending.pop(call_id, None)

    def handle_send_failed(self, call_id: str) -> list[Action]:
        """A request did not leave."""
        return self._end(call_id, RpcFailure.built_in(RpcCode.SEND_FAILED))

    def _end(self, call_id: str, failure: RpcFailure | None, payload: str = "") -> list[Action]:
        if self._pending.pop(call_id, None) is None:
            return []
        return [CallEnded(call_id, payload, failure)]

    # -- what arrives -----------------------------------------------------------------------

    def handle_packet(self, packet: DataPacket, now_s: float) -> list[Action]:
        """Take a packet of the room; those that are no part of a call give nothing."""
        sender = packet.participant_identity
        match packet.WhichOneof("value"):
            case "rpc_request":
                request = packet.rpc_request
                key = RequestKey(sender, request.id)
                running = _Running(
                    is_stream=False,
                    method=request.method,
                    response_timeout_s=request.response_timeout_ms / 1000,
                )
                actions, is_new = self._accept(key, running)
                if not is_new:
                    return actions
                if request.version != 1:
                    failure = RpcFailure.built_in(RpcCode.UNSUPPORTED_VERSION)
                    return actions + self.answer(key, failure=failure)
                return actions + self._invoke(key, request.payload, now_s)
            case "rpc_ack":
                return self._handle_ack(sender, packet.rpc_ack.request_id, now_s)
            case "rpc_response":
                response = packet.rpc_response
                if response.HasField("error"):
                    error = response.error
                    failed = _shortened_failure(error.code, error.message, error.data)
                    return self._handle_answer(sender, response.request_id, failed, "")
                return self._handle_answer(sender, response.request_id, None, response.payload)
            case _:
                return []

    def handle_request_opened(
        self, sender: str, attributes: Mapping[str, str]
    ) -> tuple[RequestKey | None, list[Action]]:
        """Take the header of a request stream; the key is None when its text is not wanted.

        Raises `ProtocolError` for attributes that make no request.
        """
        key = RequestKey(sender, attributes.get(ID_ATTRIBUTE, ""))
        if not key.id:
            raise ProtocolError("rpc request without an id")
        timeout_ms = _number(attributes.get(TIMEOUT_ATTRIBUTE, ""))
        running = _Running(
            is_stream=True,
            method=attributes.get(METHOD_ATTRIBUTE, ""),
            response_timeout_s=timeout_ms / 1000,
        )
        actions, is_new = self._accept(key, running)
        if not is_new:
            return None, actions
        if attributes.get(VERSION_ATTRIBUTE) != "2":
            failure = RpcFailure.built_in(RpcCode.UNSUPPORTED_VERSION)
            return None, actions + self.answer(key, failure=failure)
        return key, actions

    def handle_request_text(self, key: RequestKey, payload: str, now_s: float) -> list[Action]:
        """Take the whole text of a request stream."""
        return self._invoke(key, payload, now_s) if key in self._running else []

    def handle_request_broken(self, key: RequestKey, *, too_large: bool) -> list[Action]:
        """A request stream did not become whole."""
        code = RpcCode.REQUEST_PAYLOAD_TOO_LARGE if too_large else RpcCode.APPLICATION_ERROR
        return self.answer(key, failure=RpcFailure.built_in(code))

    def handle_response_text(
        self, sender: str, attributes: Mapping[str, str], payload: str
    ) -> list[Action]:
        """Take a whole response stream."""
        return self._handle_answer(sender, attributes.get(ID_ATTRIBUTE, ""), None, payload)

    def awaits(self, sender: str, attributes: Mapping[str, str]) -> bool:
        """Whether a response stream with this header answers a call of ours."""
        pending = self._pending.get(attributes.get(ID_ATTRIBUTE, ""))
        return pending is not None and pending.call.destination == sender

    def handle_response_broken(self, attributes: Mapping[str, str]) -> list[Action]:
        """A response stream did not become whole."""
        failure = RpcFailure.built_in(RpcCode.RESPONSE_PAYLOAD_TOO_LARGE)
        return self._end(attributes.get(ID_ATTRIBUTE, ""), failure)

    def _accept(self, key: RequestKey, running: _Running) -> tuple[list[Action], bool]:
        """Acknowledge a request and remember it; False when it is not to be run."""
        ack = DataPacket(destination_identities=[key.caller])
        ack.rpc_ack.request_id = key.id
        actions: list[Action] = [SendPacket(ack)]
        if key in self._known:
            return actions, False
        theirs = sum(running_key.caller == key.caller for running_key in self._running)
        if len(self._running) >= MAX_RUNNING_REQUESTS or theirs >= MAX_RUNNING_OF_ONE:
            # No ack: the caller's time-out says the same without a task of ours.
            return [], False
        self._known[key] = None
        while len(self._known) > REMEMBERED_REQUESTS:
            self._known.popitem(last=False)
        self._running[key] = running
        return actions, True

    def _invoke(self, key: RequestKey, payload: str, now_s: float) -> list[Action]:
        running = self._running[key]
        running.deadline_s = now_s + running.response_timeout_s
        return [Invoke(key, running.method, payload, running.response_timeout_s)]

    def _handle_ack(self, sender: str, call_id: str, now_s: float) -> list[Action]:
        pending = self._pending.get(call_id)
        if pending is not None and sender == pending.call.destination and not pending.acknowledged:
            pending.acknowledged = True
            pending.deadline_s = now_s + pending.call.response_timeout_s
        return []

    def _handle_answer(
        self, sender: str, call_id: str, failure: RpcFailure | None, payload: str
    ) -> list[Action]:
        # An answer says that the request arrived, whatever became of its acknowledgement.
        pending = self._pending.get(call_id)
        if pending is None or sender != pending.call.destination:
            return []
        return self._end(call_id, failure, payload)

    # -- answering --------------------------------------------------------------------------

    def answer(
        self, key: RequestKey, *, payload: str = "", failure: RpcFailure | None = None
    ) -> list[Action]:
        """Send the outcome of a request back, once, in the form in which it came."""
        running = self._running.pop(key, None)
        if running is None:
            return []
        if failure is None and running.is_stream:
            return [SendText(RESPONSE_TOPIC, key.caller, payload, {ID_ATTRIBUTE: key.id})]
        if failure is None and len(payload.encode(errors="replace")) > MAX_PACKET_PAYLOAD_BYTES:
            failure = RpcFailure.built_in(RpcCode.RESPONSE_PAYLOAD_TOO_LARGE)
        packet = DataPacket(destination_identities=[key.caller])
        packet.rpc_response.request_id = key.id
        if failure is None:
            packet.rpc_response.payload = payload
        else:
            _write_failure(packet, failure)
        return [SendPacket(packet)]

    # -- time and people --------------------------------------------------------------------

    def handle_participant_left(self, identity: str) -> list[Action]:
        """Fail the calls to somebody who left, and stop working for them."""
        code = RpcCode.RECIPIENT_DISCONNECTED
        mine = [i for i, each in self._pending.items() if each.call.destination == identity]
        actions = [a for i in mine for a in self._end(i, RpcFailure.built_in(code))]
        for key in [key for key in self._running if key.caller == identity]:
            actions.append(StopInvocation(key, code))
            del self._running[key]
        return actions

    def handle_disconnect(self) -> list[Action]:
        """Fail and stop everything: nothing more arrives or leaves."""
        code = RpcCode.RECIPIENT_DISCONNECTED
        actions = [a for i in list(self._pending) for a in self._end(i, RpcFailure.built_in(code))]
        actions += [StopInvocation(key, code) for key in self._running]
        self._running.clear()
        self._known.clear()
        return actions

    def next_deadline_s(self) -> float | None:
        """When `handle_time` has something to do."""
        deadlines = [each.deadline_s for each in self._pending.values()]
        deadlines += [r.deadline_s for r in self._running.values() if r.deadline_s is not None]
        return min(deadlines, default=None)

    def handle_time(self, now_s: float) -> list[Action]:
        """Fail what has waited for too long."""
        actions: list[Action] = []
        for call_id, pending in list(self._pending.items()):
            if pending.deadline_s <= now_s:
                code = (
                    RpcCode.RESPONSE_TIMEOUT if pending.acknowledged else RpcCode.CONNECTION_TIMEOUT
                )
                actions += self._end(call_id, RpcFailure.built_in(code))
        for key, running in self._running.items():
            if running.deadline_s is not None and running.deadline_s <= now_s:
                running.deadline_s = None
                actions.append(StopInvocation(key, RpcCode.RESPONSE_TIMEOUT))
        return actions


def _failed(call_id: str, code: RpcCode) -> CallEnded:
    return CallEnded(call_id, failure=RpcFailure.built_in(code))


def _request(call: Call, timeout_ms: int) -> SendPacket:
    packet = DataPacket(destination_identities=[call.destination])
    packet.rpc_request.id = call.id
    packet.rpc_request.method = call.method
    packet.rpc_request.payload = call.payload
    packet.rpc_request.version = 1
    packet.rpc_request.response_timeout_ms = timeout_ms
    return SendPacket(packet, call.id)


def _stream_request(call: Call, timeout_ms: int) -> SendText:
    attributes = {
        ID_ATTRIBUTE: call.id,
        METHOD_ATTRIBUTE: call.method,
        TIMEOUT_ATTRIBUTE: str(timeout_ms),
        VERSION_ATTRIBUTE: "2",
    }
    return SendText(REQUEST_TOPIC, call.destination, call.payload, attributes, call.id)


def _write_failure(packet: DataPacket, failure: RpcFailure) -> None:
    error = packet.rpc_response.error
    error.code = int(failure.code) & 0xFFFFFFFF
    shortened = _shortened_failure(failure.code, failure.message, failure.data)
    error.message, error.data = shortened.message, shortened.data


def _shortened_failure(code: int, message: str, data: str) -> RpcFailure:
    """An error as long as one may be. Rust cuts only what it is sent, not what it sends."""
    shortened = _shortened(message, MAX_MESSAGE_BYTES)
    return RpcFailure(code, shortened, _shortened(data, MAX_PACKET_PAYLOAD_BYTES))


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        raise ProtocolError("rpc request without a time-out")
    return int(text)


def _shortened(text: str, limit: int) -> str:
    return text.encode(errors="replace")[:limit].decode(errors="ignore")
