"""Calls between two desks over a wire of lists."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog.testing
from livekit.protocol import models as lk

from app.engine import rtc
from app.engine.rpc import MAX_PAYLOAD_BYTES, RpcDesk
from app.runtime.errors import Reason, WorldError
from app.runtime.tasks import TaskOwner
from tests.support.fake_session import Arrivals
from tests.support.vectors import read_vector

Code = rtc.RpcError.ErrorCode


class Pair:
    """Two desks; a packet of one is handed to the other under its identity."""

    def __init__(self) -> None:
        self.tasks = TaskOwner("test")
        self.sent: list[lk.DataPacket] = []
        self.arrivals = Arrivals()
        self.lost: set[str] = set()
        self.caller: RpcDesk = RpcDesk(self._sender("caller", lambda: self.callee), self.tasks)
        self.callee: RpcDesk = RpcDesk(self._sender("callee", lambda: self.caller), self.tasks)

    def _sender(self, identity: str, other: Any) -> Any:
        async def send(packet: lk.DataPacket) -> None:
            self.sent.append(packet)
            self.arrivals.note()
            packet.participant_identity = identity
            if packet.WhichOneof("value") not in self.lost:
                other().handle_packet(packet)

        return send

    async def call(self, method: str = "m", payload: str = "ping", **times: float) -> str:
        call = rtc.RpcCallInfo("callee", method, payload, **times)
        return await self.caller.call(call)


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    pair = Pair()
    yield pair
    await pair.tasks.close()


async def test_a_call_is_answered_by_plain_and_async_handlers(pair: Pair) -> None:
    async def shout(data: rtc.RpcInvocationData) -> str:
        return data.payload.upper()

    pair.callee.register("plain", lambda data: f"{data.caller_identity} {data.method}")
    pair.callee.register("async", shout)

    assert await pair.call("plain") == "caller plain"
    assert await pair.call("async") == "PING"
    assert [p.WhichOneof("value") for p in pair.sent[:3]] == [
        "rpc_request",
        "rpc_ack",
        "rpc_response",
    ]
    assert pair.sent[0].rpc_request.version == 1
    assert pair.sent[0].rpc_request.response_timeout_ms == 8_000


async def test_errors_of_the_handler_reach_the_caller(pair: Pair) -> None:
    def refuse(_: object) -> str:
        raise rtc.RpcError(7, "nope", "why")

    def fail(_: object) -> str:
        raise ValueError("secret")

    pair.callee.register("refuse", refuse)
    pair.callee.register("fail", fail)
    pair.callee.register("long", lambda _: "x" * (MAX_PAYLOAD_BYTES + 1))

    with pytest.raises(rtc.RpcError) as refused:
        await pair.call("refuse")
    assert (refused.value.code, refused.value.message, refused.value.data) == (7, "nope", "why")
    with structlog.testing.capture_logs(), pytest.raises(rtc.RpcError) as failed:
        await pair.call("fail")
    assert (failed.value.code, failed.value.message) == (
        Code.APPLICATION_ERROR,
        "Application error in method handler",
    )
    with pytest.raises(rtc.RpcError) as long:
        await pair.call("long")
    assert long.value.code == Code.RESPONSE_PAYLOAD_TOO_LARGE
    with pytest.raises(rtc.RpcError) as missing:
        await pair.call("missing")
    assert missing.value.code == Code.UNSUPPORTED_METHOD


async def test_a_handler_that_returns_no_text_is_an_error_at_once(pair: Pair) -> None:
    handler: Any = lambda _: 5  # noqa: E731 - of a type that no checker would let through
    pair.callee.register("number", handler)

    with structlog.testing.capture_logs() as logs, pytest.raises(rtc.RpcError) as failed:
        await pair.call("number")

    assert failed.value.code == Code.APPLICATION_ERROR
    assert [entry["type"] for entry in logs] == ["int"]


async def test_a_payload_too_large_is_not_sent(pair: Pair) -> None:
    with pytest.raises(rtc.RpcError) as raised:
        await pair.call(payload="é" * (MAX_PAYLOAD_BYTES // 2 + 1))

    assert raised.value.code == Code.REQUEST_PAYLOAD_TOO_LARGE
    assert pair.sent == []


@pytest.mark.parametrize(
    ("lost", "code"),
    [("rpc_request", Code.CONNECTION_TIMEOUT), ("rpc_response", Code.RESPONSE_TIMEOUT)],
)
async def test_what_is_lost_is_a_timeout_of_its_kind(pair: Pair, lost: str, code: int) -> None:
    pair.callee.register("m", lambda _: "pong")
    pair.lost = {lost}

    with pytest.raises(rtc.RpcError) as raised:
        await pair.call(response_timeout=0.02, max_round_trip_latency=0.02)

    assert raised.value.code == code


async def test_a_lost_acknowledgement_does_not_matter_when_the_answer_comes(pair: Pair) -> None:
    pair.callee.register("m", lambda _: "pong")
    pair.lost = {"rpc_ack"}

    assert await pair.call() == "pong"


async def test_an_answer_of_somebody_else_is_ignored(pair: Pair) -> None:
    pair.lost = {"rpc_request"}
    call = asyncio.ensure_future(pair.call(max_round_trip_latency=0.05))
    await pair.arrivals.until(lambda: bool(pair.sent))
    forged = lk.DataPacket(participant_identity="mallory")
    forged.rpc_response.request_id = pair.sent[0].rpc_request.id
    forged.rpc_response.payload = "forged"
    pair.caller.handle_packet(forged)

    with pytest.raises(rtc.RpcError) as raised:
        await call
    assert raised.value.code == Code.CONNECTION_TIMEOUT


async def test_a_peer_who_leaves_fails_its_calls(pair: Pair) -> None:
    pair.lost = {"rpc_request"}
    call = asyncio.ensure_future(pair.call())
    await pair.arrivals.until(lambda: bool(pair.sent))
    pair.caller.handle_participant_left("callee")

    with pytest.raises(rtc.RpcError) as raised:
        await call
    assert raised.value.code == Code.RECIPIENT_DISCONNECTED


async def test_a_handler_too_slow_is_cancelled_and_the_caller_told(pair: Pair) -> None:
    unwound: list[object] = []

    async def slow(data: rtc.RpcInvocationData) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            unwound.append(data.cancel_reason)
        return ""

    pair.callee.register("slow", slow)
    request = lk.DataPacket(participant_identity="caller")
    request.rpc_request.id = "1"
    request.rpc_request.method = "slow"
    request.rpc_request.version = 1
    request.rpc_request.response_timeout_ms = 20
    pair.callee.handle_packet(request)
    await pair.arrivals.until(lambda: len(pair.sent) >= 2)

    assert pair.sent[1].rpc_response.error.code == Code.RESPONSE_TIMEOUT
    assert unwound == [Code.RESPONSE_TIMEOUT]


async def test_another_version_is_refused(pair: Pair) -> None:
    request = lk.DataPacket(participant_identity="caller")
    request.rpc_request.id = "1"
    request.rpc_request.version = 3
    pair.callee.handle_packet(request)
    await pair.arrivals.until(lambda: len(pair.sent) >= 2)

    assert pair.sent[1].rpc_response.error.code == Code.UNSUPPORTED_VERSION


async def test_interceptors_wrap_calls_in_the_order_in_which_they_were_added(pair: Pair) -> None:
    class Mark(rtc.RpcInterceptor):
        def __init__(self, mark: str) -> None:
            self.mark = mark

        async def intercept_outgoing(self, call: rtc.RpcCallInfo, next: Any) -> str:  # noqa: A002
            return f"{self.mark}({await next(call)})"

        async def intercept_incoming(
            self,
            invocation: rtc.RpcInvocationData,
            next: Any,  # noqa: A002
        ) -> Any:
            return f"{self.mark}<{await next(invocation)}>"

    first, second = Mark("1"), Mark("2")
    for mark in (first, second, first):
        pair.caller.add_interceptor(mark)
        pair.callee.add_interceptor(mark)
    pair.callee.register("m", lambda _: "x")

    assert await pair.call() == "1(2(1<2<x>>))"
    pair.caller.remove_interceptor(first)
    assert await pair.call() == "2(1<2<x>>)"


async def test_a_call_that_cannot_be_sent_says_so() -> None:
    async def refuse(_: lk.DataPacket) -> None:
        raise WorldError(Reason.NO_ROUTE)

    tasks = TaskOwner("test")
    with pytest.raises(rtc.RpcError) as raised:
        await RpcDesk(refuse, tasks).call(rtc.RpcCallInfo("callee", "m", ""))
    assert raised.value.code == Code.SEND_FAILED


async def test_recorded_calls_of_the_sdk_are_answered_as_recorded(pair: Pair) -> None:
    def refuse(_: object) -> str:
        raise rtc.RpcError(7, "nope", "why")

    pair.callee.register("ok", lambda _: "pong")
    pair.callee.register("bad", refuse)
    answers: dict[str, lk.RpcResponse] = {}
    asked: dict[str, str] = {}
    for record in read_vector("data_python_to_v1_peer.jsonl"):
        if record.kind != "data":
            continue
        packet = lk.DataPacket.FromString(record.raw)
        which = packet.WhichOneof("value")
        if record.direction == "server>client" and which == "rpc_request":
            asked[packet.rpc_request.id] = packet.rpc_request.method
            if packet.rpc_request.method in ("ok", "bad", "other"):
                pair.callee.handle_packet(packet)
        if record.direction == "client>server" and which == "rpc_response":
            answers[packet.rpc_response.request_id] = packet.rpc_response
    wanted = [r for r in asked if asked[r] in ("ok", "bad", "other") and r in answers]
    assert len(wanted) >= 3

    def ours() -> dict[str, lk.RpcResponse]:
        return {
            p.rpc_response.request_id: p.rpc_response
            for p in pair.sent
            if p.WhichOneof("value") == "rpc_response"
        }

    await pair.arrivals.until(lambda: len(ours()) >= len(wanted))
    assert {r: ours()[r] for r in wanted} == {r: answers[r] for r in wanted}
