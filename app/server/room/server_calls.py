"""Calls that the server itself makes on a participant (RoomService.PerformRpc).

The call leaves as a version 1 packet from an identity nobody has: a fresh UUID, which is also
its id. The SDK answers to that identity, and the room hands acknowledgement and response over
to here instead of routing them. A call is made once: a handler that is slow is waited for, not
called again.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from livekit.protocol import models

from app.server.room.data_router import MAX_SERVER_PACKET_BYTES

ACK_TIMEOUT_S = 2.0
RESPONSE_TIMEOUT_S = 10.0
MAX_TIMEOUT_S = 600.0
MAX_PAYLOAD_BYTES = 15_360
# Calls under way to one room; each is a request that somebody with a grant has open.
MAX_CALLS = 1_000

PAYLOAD_TOO_LARGE = 1402
CONNECTION_TIMEOUT = 1501
RESPONSE_TIMEOUT = 1502
RECIPIENT_DISCONNECTED = 1503
SEND_FAILED = 1505


class CallFailed(Exception):  # noqa: N818 - an answer, not a fault
    """The call came to nothing; `code` is of LiveKit's RPC errors, or the handler's own."""

    def __init__(self, code: int, message: str, data: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = f"{message}: {data}" if data else message


@dataclass
class _Call:
    target_sid: str
    acked: asyncio.Event = field(default_factory=asyncio.Event)
    response: asyncio.Future[str] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class ServerCalls:
    """Calls of one room; lives on the server's loop."""

    def __init__(self) -> None:
        self._calls: dict[str, _Call] = {}

    async def perform(
        self,
        send: Callable[[bytes], None],
        *,
        target_sid: str,
        target_identity: str,
        method: str,
        payload: str,
        response_timeout_s: float = 0.0,
    ) -> str:
        """Call once and return what the handler said; raises `CallFailed`."""
        timeout_s = min(response_timeout_s or RESPONSE_TIMEOUT_S, MAX_TIMEOUT_S)
        if len(payload.encode()) > MAX_PAYLOAD_BYTES:
            raise CallFailed(PAYLOAD_TOO_LARGE, "Request payload too large")
        if len(self._calls) >= MAX_CALLS:
            raise CallFailed(SEND_FAILED, "Failed to send")
        call_id = str(uuid.uuid4())
        packet = models.DataPacket(
            kind=models.DataPacket.RELIABLE,
            participant_identity=call_id,
            destination_identities=[target_identity],
            rpc_request=models.RpcRequest(
                id=call_id,
                method=method,
                payload=payload,
                response_timeout_ms=int(timeout_s * 1000),
                version=1,
            ),
        )
        data = packet.SerializeToString()
        if len(data) > MAX_SERVER_PACKET_BYTES:
            # The name of the method, then: nobody would ever see such a packet.
            raise CallFailed(PAYLOAD_TOO_LARGE, "Request payload too large")
        call = self._calls[call_id] = _Call(target_sid)
        try:
            send(data)
            return await self._wait(call, timeout_s)
        finally:
            del self._calls[call_id]
            # Somebody may have answered after nobody waited any more.
            call.response.cancel()

    async def _wait(self, call: _Call, timeout_s: float) -> str:
        ends_s = asyncio.get_running_loop().time() + timeout_s
        try:
            async with asyncio.timeout(min(ACK_TIMEOUT_S, timeout_s)):
                await call.acked.wait()
        except TimeoutError as error:
            if timeout_s < ACK_TIMEOUT_S:
                raise CallFailed(RESPONSE_TIMEOUT, "Response timeout") from error
            raise CallFailed(CONNECTION_TIMEOUT, "Connection timeout") from error
        try:
            async with asyncio.timeout_at(ends_s):
                return await call.response
        except TimeoutError as error:
            raise CallFailed(RESPONSE_TIMEOUT, "Response timeout") from error

    def handle_packet(self, sender_sid: str, packet: models.DataPacket) -> bool:
        """Take an acknowledgement or a response of one of our calls; False when it is not."""
        kind = packet.WhichOneof("value")
        answer = packet.rpc_ack if kind == "rpc_ack" else packet.rpc_response
        call = self._calls.get(answer.request_id)
        if call is None:
            return False
        if call.target_sid != sender_sid or call.response.done():
            # Somebody else's word, or a second one: ours to swallow all the same.
            return True
        call.acked.set()
        if kind == "rpc_ack":
            return True
        if packet.rpc_response.WhichOneof("value") == "error":
            error = packet.rpc_response.error
            _fail(call, CallFailed(error.code, error.message, error.data))
        else:
            call.response.set_result(packet.rpc_response.payload)
        return True

    def handle_left(self, sid: str) -> None:
        """Fail what waits for somebody who is gone."""
        for call in self._calls.values():
            if call.target_sid == sid and not call.response.done():
                call.acked.set()
                _fail(call, CallFailed(RECIPIENT_DISCONNECTED, "Recipient disconnected"))


def _fail(call: _Call, failure: CallFailed) -> None:
    call.response.set_exception(failure)
    # Whoever waited may have been cancelled meanwhile.
    call.response.exception()
