"""Calls between participants, as a script makes and answers them.

`protocol/rpc.py` decides everything; this module gives it time, wires and handlers. A request is
answered by a task of its own, so that a slow handler holds nobody up.
"""

from __future__ import annotations

import asyncio
import inspect
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

import structlog
from livekit.protocol import models as lk

from app.engine.streams import StreamError, TextStreamReader
from app.protocol import rpc as wire
from app.protocol.errors import ProtocolError
from app.protocol.rpc import RpcFailure, RpcMachine
from app.runtime.errors import WorldError
from app.runtime.tasks import TaskOwner, spawn

log = structlog.get_logger(__name__)

MAX_PAYLOAD_BYTES = wire.MAX_PACKET_PAYLOAD_BYTES
UNWIND_TIMEOUT_S = 2.0


class RpcError(Exception):
    """A failed call. Codes 1001 to 1999 are the protocol's own."""

    class ErrorCode(IntEnum):
        """The protocol's own codes."""

        APPLICATION_ERROR = 1500
        CONNECTION_TIMEOUT = 1501
        RESPONSE_TIMEOUT = 1502
        RECIPIENT_DISCONNECTED = 1503
        RESPONSE_PAYLOAD_TOO_LARGE = 1504
        SEND_FAILED = 1505
        UNSUPPORTED_METHOD = 1400
        RECIPIENT_NOT_FOUND = 1401
        REQUEST_PAYLOAD_TOO_LARGE = 1402
        UNSUPPORTED_SERVER = 1403
        UNSUPPORTED_VERSION = 1404

    ErrorMessage: ClassVar[dict[ErrorCode, str]] = dict(
        zip(map(ErrorCode, wire.MESSAGES), wire.MESSAGES.values(), strict=True)
    )

    def __init__(self, code: int | ErrorCode, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self._code = code
        self._message = message
        self._data = data

    @classmethod
    def built_in(cls, code: ErrorCode) -> RpcError:
        """Make one of the protocol's own errors."""
        return cls(code, cls.ErrorMessage[code])

    @property
    def code(self) -> int:
        """What went wrong, as a number."""
        return self._code

    @property
    def message(self) -> str:
        """What went wrong, in words."""
        return self._message

    @property
    def data(self) -> str | None:
        """More about it, by the application's own agreement."""
        return self._data


@dataclass
class RpcInvocationData:
    """A call that came in. `response_timeout` is in seconds."""

    request_id: str
    caller_identity: str
    payload: str
    response_timeout: float
    method: str = ""
    cancel_reason: RpcError.ErrorCode | None = None


@dataclass
class RpcCallInfo:
    """A call that goes out. Times are in seconds, None for the default."""

    destination_identity: str
    method: str
    payload: str
    response_timeout: float | None = None
    max_round_trip_latency: float | None = None


RpcHandler = Callable[[RpcInvocationData], Awaitable[str | None] | str | None]
OutgoingRpcNext = Callable[[RpcCallInfo], Awaitable[str]]
IncomingRpcNext = Callable[[RpcInvocationData], Awaitable[str | None]]


class RpcInterceptor:
    """Stands between calls and their handlers; override the direction you care for."""

    async def intercept_outgoing(self, call: RpcCallInfo, next: OutgoingRpcNext) -> str:
        """Return what `next(call)` returns, or something else."""
        return await next(call)

    async def intercept_incoming(
        self, invocation: RpcInvocationData, next: IncomingRpcNext
    ) -> str | None:
        """Return what `next(invocation)` returns, or something else."""
        return await next(invocation)


SendPacket = Callable[[lk.DataPacket], Awaitable[None]]
SendText = Callable[[str, str, str, Mapping[str, str]], Awaitable[None]]


@dataclass
class _Invocation:
    data: RpcInvocationData
    stopped: asyncio.Event


class RpcDesk:
    """All calls of one room, both directions; belongs to the room's loop.

    `send_text(topic, destination, text, attributes)` sends a whole text stream, and
    `protocol_of` tells the `client_protocol` that a participant announced.
    """

    def __init__(
        self,
        send: SendPacket,
        tasks: TaskOwner,
        *,
        send_text: SendText | None = None,
        protocol_of: Callable[[str], int] = lambda _identity: 0,
    ) -> None:
        self._send = send
        self._send_text = send_text
        self._protocol_of = protocol_of
        self._tasks = tasks
        self._machine = RpcMachine()
        self._calls: dict[str, asyncio.Future[str]] = {}
        self._invocations: dict[wire.RequestKey, _Invocation] = {}
        self._handlers: dict[str, RpcHandler] = {}
        self._interceptors: list[RpcInterceptor] = []
        self._timer: asyncio.TimerHandle | None = None

    def set_tasks(self, tasks: TaskOwner) -> None:
        """Answer under a new owner, since the old one is closed."""
        self._tasks = tasks

    def set_server_version(self, version: str) -> None:
        """Take note of the server's version: old ones forward no calls."""
        self._machine.server_version = version

    def register(self, method: str, handler: RpcHandler) -> None:
        """Answer calls of `method`."""
        self._handlers[method] = handler

    def unregister(self, method: str) -> None:
        """Stop answering calls of `method`."""
        self._handlers.pop(method, None)

    def add_interceptor(self, interceptor: RpcInterceptor) -> None:
        """Put an interceptor inside those that are there already."""
        if not any(known is interceptor for known in self._interceptors):
            self._interceptors.append(interceptor)

    def remove_interceptor(self, interceptor: RpcInterceptor) -> None:
        """Take an interceptor out; calls on their way keep theirs."""
        self._interceptors = [known for known in self._interceptors if known is not interceptor]

    # -- calling ----------------------------------------------------------------------------

    async def call(self, call: RpcCallInfo) -> str:
        """Call a participant and return the answer, or raise `RpcError`."""
        step: OutgoingRpcNext = self._call
        for interceptor in reversed(self._interceptors):
            step = _outgoing(interceptor, step)
        return await step(call)

    async def _call(self, info: RpcCallInfo) -> str:
        by_stream = self._send_text is not None
        call = wire.Call(
            id=str(uuid.uuid4()),
            destination=info.destination_identity,
            method=info.method,
            payload=info.payload,
            response_timeout_s=(
                wire.DEFAULT_RESPONSE_TIMEOUT_S
                if info.response_timeout is None
                else info.response_timeout
            ),
            round_trip_s=info.max_round_trip_latency or wire.DEFAULT_ROUND_TRIP_S,
            peer_protocol=self._protocol_of(info.destination_identity) if by_stream else 0,
        )
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._calls[call.id] = future
        try:
            self._start(self._machine.call(call, _now_s()))
            return await future
        finally:
            self._machine.give_up(call.id)
            del self._calls[call.id]

    # -- what arrives -----------------------------------------------------------------------

    def handle_packet(self, packet: lk.DataPacket) -> None:
        """Take a packet of the room; those that are no part of a call are ignored."""
        self._start(self._machine.handle_packet(packet, _now_s()))

    def handle_stream(self, reader: TextStreamReader, sender: str) -> None:
        """Take a text stream of one of the topics in `wire.TOPICS`."""
        attributes = reader.info.attributes or {}
        if reader.info.topic == wire.RESPONSE_TOPIC:
            if not self._machine.awaits(sender, attributes):
                reader.close()
                return
            work = self._read_response(reader, sender, dict(attributes))
            spawn(work, name="rpc-response", owner=self._tasks)
            return
        try:
            key, actions = self._machine.handle_request_opened(sender, attributes)
        except ProtocolError as error:
            log.info("rpc request dropped", reason=error.reason)
            reader.close()
            return
        spawn(self._serve(key, actions, reader), name="rpc-answer", owner=self._tasks)

    async def _serve(
        self, key: wire.RequestKey | None, actions: list[wire.Action], reader: TextStreamReader
    ) -> None:
        await self._perform(actions)
        if key is None:
            reader.close()
            return
        try:
            payload = await _read_text(reader)
        except (StreamError, ProtocolError) as error:
            too_large = isinstance(error, ProtocolError)
            await self._perform(self._machine.handle_request_broken(key, too_large=too_large))
            return
        await self._perform(self._machine.handle_request_text(key, payload, _now_s()))

    async def _read_response(
        self, reader: TextStreamReader, sender: str, attributes: Mapping[str, str]
    ) -> None:
        try:
            payload = await _read_text(reader)
        except (StreamError, ProtocolError):
            actions = self._machine.handle_response_broken(attributes)
        else:
            actions = self._machine.handle_response_text(sender, attributes, payload)
        await self._perform(actions)

    def handle_participant_left(self, identity: str) -> None:
        """Fail the calls to somebody who left."""
        self._start(self._machine.handle_participant_left(identity))

    def handle_disconnect(self) -> None:
        """Fail every call: the room is over."""
        for action in self._machine.handle_disconnect():
            self._perform_now(action)
        self._watch_time()

    # -- performing -------------------------------------------------------------------------

    def _start(self, actions: Iterable[wire.Action]) -> None:
        """Perform what needs no waiting at once, the rest in order by a task."""
        slow = [action for action in actions if not self._perform_now(action)]
        self._watch_time()
        if slow:
            spawn(self._perform(slow), name="rpc", owner=self._tasks)

    async def _perform(self, actions: Iterable[wire.Action]) -> None:
        for action in actions:
            if isinstance(action, wire.SendPacket | wire.SendText):
                await self._perform_send(action)
            elif isinstance(action, wire.Invoke):
                await self._invoke(action)
            else:
                self._perform_now(action)
        self._watch_time()

    def _perform_now(self, action: wire.Action) -> bool:
        match action:
            case wire.CallEnded(call_id, payload, failure):
                future = self._calls.get(call_id)
                if future is not None and not future.done():
                    if failure is None:
                        future.set_result(payload)
                    else:
                        future.set_exception(_error_of(failure))
            case wire.StopInvocation(key, code):
                invocation = self._invocations.get(key)
                if invocation is not None:
                    invocation.data.cancel_reason = RpcError.ErrorCode(code)
                    invocation.stopped.set()
            case _:
                return False
        return True

    async def _perform_send(self, action: wire.SendPacket | wire.SendText) -> None:
        try:
            if isinstance(action, wire.SendPacket):
                await self._send(action.packet)
            else:
                assert self._send_text is not None
                await self._send_text(
                    action.topic, action.destination, action.text, action.attributes
                )
        except (WorldError, StreamError) as error:
            if action.call_id:
                for ended in self._machine.handle_send_failed(action.call_id):
                    self._perform_now(ended)
                return
            log.info("rpc answer not sent", error=type(error).__name__)

    def _watch_time(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline_s = self._machine.next_deadline_s()
        if deadline_s is not None:
            loop = asyncio.get_running_loop()
            wait_s = max(0.0, deadline_s - _now_s())
            self._timer = loop.call_later(wait_s, self._handle_time)

    def _handle_time(self) -> None:
        self._timer = None
        self._start(self._machine.handle_time(_now_s()))

    # -- answering --------------------------------------------------------------------------

    async def _invoke(self, invoke: wire.Invoke) -> None:
        data = RpcInvocationData(
            invoke.key.id,
            invoke.key.caller,
            invoke.payload,
            invoke.response_timeout_s,
            method=invoke.method,
        )
        self._watch_time()
        step: IncomingRpcNext = self._run_handler
        for interceptor in reversed(self._interceptors):
            step = _incoming(interceptor, step)
        invocation = _Invocation(data, asyncio.Event())
        self._invocations[invoke.key] = invocation
        try:
            outcome = await self._outcome(step, invocation)
        finally:
            del self._invocations[invoke.key]
        answer = self._machine.answer(
            invoke.key, payload=outcome.payload or "", failure=outcome.failure
        )
        await self._perform(answer)

    async def _outcome(self, step: IncomingRpcNext, invocation: _Invocation) -> _Outcome:
        running = spawn(_awaited(step(invocation.data)), name="rpc-handler", owner=self._tasks)
        stopped = spawn(invocation.stopped.wait(), name="rpc-stop", owner=self._tasks)
        try:
            await asyncio.wait([running, stopped], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
        reason = invocation.data.cancel_reason
        if not running.done() and reason is not None:
            running.cancel()
            await asyncio.wait([running], timeout=UNWIND_TIMEOUT_S)
            return _Outcome(failure=RpcFailure.built_in(wire.RpcCode(reason)))
        if running.cancelled():
            return _Outcome(failure=RpcFailure.built_in(wire.RpcCode.APPLICATION_ERROR))
        outcome: _Outcome = running.result()
        return outcome

    async def _run_handler(self, invocation: RpcInvocationData) -> str | None:
        handler = self._handlers.get(invocation.method)
        if handler is None:
            raise RpcError.built_in(RpcError.ErrorCode.UNSUPPORTED_METHOD)
        result = handler(invocation)
        if inspect.isawaitable(result):
            return await result
        return result


@dataclass
class _Outcome:
    payload: str | None = None
    failure: RpcFailure | None = None


async def _awaited(running: Awaitable[str | None]) -> _Outcome:
    """Turn whatever a handler does into a value, so that its task never fails."""
    try:
        payload = await running
    except RpcError as error:
        return _Outcome(failure=RpcFailure(int(error.code), error.message, error.data or ""))
    except Exception:
        log.exception("rpc handler failed")
        return _Outcome(failure=RpcFailure.built_in(wire.RpcCode.APPLICATION_ERROR))
    # A script's type, whatever it promised: what is no text cannot be sent, and the caller would
    # wait for it until his time-out.
    answer: object = payload
    if answer is not None and not isinstance(answer, str):
        log.error("rpc handler returned no text", type=type(answer).__name__)
        return _Outcome(failure=RpcFailure.built_in(wire.RpcCode.APPLICATION_ERROR))
    return _Outcome(payload=payload)


async def _read_text(reader: TextStreamReader) -> str:
    """Read to the end; ProtocolError when it is more than a call may carry."""
    pieces: list[str] = []
    size = 0
    async for piece in reader:
        size += len(piece)
        if size > wire.MAX_STREAM_PAYLOAD_BYTES:
            reader.close()
            raise ProtocolError("rpc payload too large")
        pieces.append(piece)
    return "".join(pieces)


def _error_of(failure: RpcFailure) -> RpcError:
    return RpcError(failure.code, failure.message, failure.data)


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _outgoing(interceptor: RpcInterceptor, step: OutgoingRpcNext) -> OutgoingRpcNext:
    async def bound(call: RpcCallInfo) -> str:
        return await interceptor.intercept_outgoing(call, step)

    return bound


def _incoming(interceptor: RpcInterceptor, step: IncomingRpcNext) -> IncomingRpcNext:
    async def bound(invocation: RpcInvocationData) -> str | None:
        return await interceptor.intercept_incoming(invocation, step)

    return bound
