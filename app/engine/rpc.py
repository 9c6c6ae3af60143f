"""Calls between participants: a request, an acknowledgement, an answer, all as data packets.

We speak version 1 and announce no newer one, so every peer answers in it. An answer counts only
from the identity that was called.
"""

from __future__ import annotations

import asyncio
import inspect
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, TypeVar

import structlog
from livekit.protocol import models as lk

from app.runtime.errors import WorldError
from app.runtime.tasks import TaskOwner, spawn

log = structlog.get_logger(__name__)

MAX_PAYLOAD_BYTES = 15_360
MAX_MESSAGE_BYTES = 256
DEFAULT_RESPONSE_TIMEOUT_S = 15.0
DEFAULT_ROUND_TRIP_S = 7.0
LEAST_ANSWER_S = 1.0
UNWIND_TIMEOUT_S = 2.0
VERSION = 1

T = TypeVar("T")


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

    ErrorMessage: ClassVar[dict[ErrorCode, str]] = {
        ErrorCode.APPLICATION_ERROR: "Application error in method handler",
        ErrorCode.CONNECTION_TIMEOUT: "Connection timeout",
        ErrorCode.RESPONSE_TIMEOUT: "Response timeout",
        ErrorCode.RECIPIENT_DISCONNECTED: "Recipient disconnected",
        ErrorCode.RESPONSE_PAYLOAD_TOO_LARGE: "Response payload too large",
        ErrorCode.SEND_FAILED: "Failed to send",
        ErrorCode.UNSUPPORTED_METHOD: "Method not supported at destination",
        ErrorCode.RECIPIENT_NOT_FOUND: "Recipient not found",
        ErrorCode.REQUEST_PAYLOAD_TOO_LARGE: "Request payload too large",
        ErrorCode.UNSUPPORTED_SERVER: "RPC not supported by server",
        ErrorCode.UNSUPPORTED_VERSION: "Unsupported RPC version",
    }

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


@dataclass
class _Pending:
    destination: str
    acknowledged: asyncio.Future[None]
    answered: asyncio.Future[str]


class RpcDesk:
    """All calls of one room, both directions; belongs to the room's loop."""

    def __init__(self, send: Callable[[lk.DataPacket], Awaitable[None]], tasks: TaskOwner) -> None:
        self._send = send
        self._tasks = tasks
        self._pending: dict[str, _Pending] = {}
        self._handlers: dict[str, RpcHandler] = {}
        self._interceptors: list[RpcInterceptor] = []

    def set_tasks(self, tasks: TaskOwner) -> None:
        """Answer under a new owner, since the old one is closed."""
        self._tasks = tasks

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

    async def call(self, call: RpcCallInfo) -> str:
        """Call a participant and return the answer, or raise `RpcError`."""
        step: OutgoingRpcNext = self._perform
        for interceptor in reversed(self._interceptors):
            step = _outgoing(interceptor, step)
        return await step(call)

    async def _perform(self, call: RpcCallInfo) -> str:
        if len(call.payload.encode()) > MAX_PAYLOAD_BYTES:
            raise RpcError.built_in(RpcError.ErrorCode.REQUEST_PAYLOAD_TOO_LARGE)
        timeout_s = (
            DEFAULT_RESPONSE_TIMEOUT_S if call.response_timeout is None else call.response_timeout
        )
        round_trip_s = call.max_round_trip_latency or DEFAULT_ROUND_TRIP_S
        request_id = str(uuid.uuid4())
        loop = asyncio.get_running_loop()
        pending = _Pending(call.destination_identity, loop.create_future(), loop.create_future())
        self._pending[request_id] = pending
        packet = lk.DataPacket(destination_identities=[call.destination_identity])
        packet.rpc_request.id = request_id
        packet.rpc_request.method = call.method
        packet.rpc_request.payload = call.payload
        packet.rpc_request.version = VERSION
        answer_s = max(timeout_s - round_trip_s, LEAST_ANSWER_S)
        packet.rpc_request.response_timeout_ms = int(answer_s * 1000)
        try:
            try:
                await self._send(packet)
            except WorldError as error:
                raise RpcError.built_in(RpcError.ErrorCode.SEND_FAILED) from error
            await _within(pending.acknowledged, round_trip_s, RpcError.ErrorCode.CONNECTION_TIMEOUT)
            return await _within(pending.answered, timeout_s, RpcError.ErrorCode.RESPONSE_TIMEOUT)
        finally:
            del self._pending[request_id]
            for future in (pending.acknowledged, pending.answered):
                if future.done() and not future.cancelled():
                    future.exception()  # a failure that nobody waits for any more
                future.cancel()

    def handle_packet(self, packet: lk.DataPacket) -> None:
        """Take a packet of the room; those that are no part of a call are ignored."""
        match packet.WhichOneof("value"):
            case "rpc_request":
                spawn(self._answer(packet), name="rpc-answer", owner=self._tasks)
            case "rpc_ack":
                pending = self._pending.get(packet.rpc_ack.request_id)
                if pending is not None and packet.participant_identity == pending.destination:
                    _resolve(pending.acknowledged, None)
            case "rpc_response":
                self._handle_response(packet.participant_identity, packet.rpc_response)
            case _:
                return

    def _handle_response(self, sender: str, response: lk.RpcResponse) -> None:
        pending = self._pending.get(response.request_id)
        if pending is None or sender != pending.destination:
            return
        # An answer says that the request arrived, whatever became of its acknowledgement.
        _resolve(pending.acknowledged, None)
        if pending.answered.done():
            return
        if response.HasField("error"):
            error = response.error
            pending.answered.set_exception(RpcError(error.code, error.message, error.data))
        else:
            pending.answered.set_result(response.payload)

    def handle_participant_left(self, identity: str) -> None:
        """Fail the calls to somebody who left."""
        for pending in self._pending.values():
            if pending.destination != identity:
                continue
            for future in (pending.acknowledged, pending.answered):
                if not future.done():
                    future.set_exception(
                        RpcError.built_in(RpcError.ErrorCode.RECIPIENT_DISCONNECTED)
                    )

    async def _answer(self, packet: lk.DataPacket) -> None:
        request = packet.rpc_request
        caller = packet.participant_identity
        ack = lk.DataPacket(destination_identities=[caller])
        ack.rpc_ack.request_id = request.id
        answer = lk.DataPacket(destination_identities=[caller])
        answer.rpc_response.request_id = request.id
        try:
            await self._send(ack)
            try:
                answer.rpc_response.payload = await self._run(caller, request)
            except RpcError as error:
                answer.rpc_response.error.code = int(error.code)
                answer.rpc_response.error.message = _shortened(error.message)
                answer.rpc_response.error.data = error.data or ""
            await self._send(answer)
        except WorldError as error:
            log.warning("rpc answer not sent", reason=str(error.reason))

    async def _run(self, caller: str, request: lk.RpcRequest) -> str:
        if request.version != VERSION:
            raise RpcError.built_in(RpcError.ErrorCode.UNSUPPORTED_VERSION)
        timeout_s = request.response_timeout_ms / 1000
        data = RpcInvocationData(
            request.id, caller, request.payload, timeout_s, method=request.method
        )
        step: IncomingRpcNext = self._invoke
        for interceptor in reversed(self._interceptors):
            step = _incoming(interceptor, step)
        running = spawn(_awaited(step(data)), name="rpc-handler", owner=self._tasks)
        done, _ = await asyncio.wait([running], timeout=timeout_s)
        if not done:
            data.cancel_reason = RpcError.ErrorCode.RESPONSE_TIMEOUT
            running.cancel()
            await asyncio.wait([running], timeout=UNWIND_TIMEOUT_S)
            raise RpcError.built_in(RpcError.ErrorCode.RESPONSE_TIMEOUT)
        payload = _outcome(running)
        if len(payload.encode()) > MAX_PAYLOAD_BYTES:
            raise RpcError.built_in(RpcError.ErrorCode.RESPONSE_PAYLOAD_TOO_LARGE)
        return payload

    async def _invoke(self, invocation: RpcInvocationData) -> str | None:
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
    error: RpcError | None = None


async def _awaited(running: Awaitable[str | None]) -> _Outcome:
    """Turn whatever a handler does into a value, so that its task never fails."""
    try:
        return _Outcome(payload=await running)
    except RpcError as error:
        return _Outcome(error=error)
    except Exception:
        log.exception("rpc handler failed")
        return _Outcome(error=RpcError.built_in(RpcError.ErrorCode.APPLICATION_ERROR))


def _outcome(task: asyncio.Task[_Outcome]) -> str:
    if task.cancelled():
        raise RpcError.built_in(RpcError.ErrorCode.APPLICATION_ERROR)
    outcome = task.result()
    if outcome.error is not None:
        raise outcome.error
    return outcome.payload or ""


def _outgoing(interceptor: RpcInterceptor, step: OutgoingRpcNext) -> OutgoingRpcNext:
    async def bound(call: RpcCallInfo) -> str:
        return await interceptor.intercept_outgoing(call, step)

    return bound


def _incoming(interceptor: RpcInterceptor, step: IncomingRpcNext) -> IncomingRpcNext:
    async def bound(invocation: RpcInvocationData) -> str | None:
        return await interceptor.intercept_incoming(invocation, step)

    return bound


async def _within(future: asyncio.Future[T], timeout_s: float, code: RpcError.ErrorCode) -> T:
    try:
        return await asyncio.wait_for(future, timeout_s)
    except TimeoutError:
        raise RpcError.built_in(code) from None


def _resolve(future: asyncio.Future[None], value: None) -> None:
    if not future.done():
        future.set_result(value)


def _shortened(message: str) -> str:
    return message.encode()[:MAX_MESSAGE_BYTES].decode(errors="ignore")
