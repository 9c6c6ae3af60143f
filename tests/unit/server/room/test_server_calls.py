"""Calls of the server's own: made once, answered by the one who was called."""

from __future__ import annotations

import asyncio

import pytest
from livekit.protocol import models

from app.server.room import server_calls
from app.server.room.server_calls import CallFailed, ServerCalls


class Target:
    """Somebody who is called; `packets` is what arrives."""

    def __init__(self) -> None:
        self.calls = ServerCalls()
        self.packets: asyncio.Queue[models.DataPacket] = asyncio.Queue()

    def start(self, **options: float | str) -> asyncio.Task[str]:
        values = {"method": "m", "payload": "p", **options}
        return asyncio.get_running_loop().create_task(
            self.calls.perform(
                lambda data: self.packets.put_nowait(models.DataPacket.FromString(data)),
                target_sid="PA_t",
                target_identity="t",
                **values,  # type: ignore[arg-type]
            )
        )

    async def arrived(self) -> models.RpcRequest:
        return (await self.packets.get()).rpc_request

    def say(self, packet: models.DataPacket, sid: str = "PA_t") -> bool:
        return self.calls.handle_packet(sid, packet)


def ack(call_id: str) -> models.DataPacket:
    return models.DataPacket(rpc_ack=models.RpcAck(request_id=call_id))


def answer(call_id: str, payload: str) -> models.DataPacket:
    return models.DataPacket(rpc_response=models.RpcResponse(request_id=call_id, payload=payload))


async def test_a_call_comes_from_nobody_and_returns_what_the_handler_said() -> None:
    target = Target()
    task = target.start()
    packet = await target.packets.get()
    request = packet.rpc_request
    assert packet.participant_identity == request.id
    assert (list(packet.destination_identities), packet.sequence) == (["t"], 0)
    assert (request.version, request.response_timeout_ms) == (1, 10_000)
    assert target.say(ack(request.id))
    assert target.say(answer(request.id, "first"))
    assert target.say(answer(request.id, "second"))
    assert await task == "first"
    assert not target.say(answer(request.id, "late"))
    assert target.packets.empty()


async def test_another_cannot_answer_for_the_one_who_was_called() -> None:
    target = Target()
    task = target.start()
    request = await target.arrived()
    assert target.say(answer(request.id, "forged"), sid="PA_eve")
    assert not target.say(answer("some other call", "x"))
    target.say(answer(request.id, "true"))
    assert await task == "true"


async def test_an_error_of_the_handler_is_passed_on() -> None:
    target = Target()
    task = target.start()
    request = await target.arrived()
    error = models.RpcError(code=1400, message="Method not supported at destination")
    target.say(
        models.DataPacket(rpc_response=models.RpcResponse(request_id=request.id, error=error))
    )
    with pytest.raises(CallFailed) as caught:
        await task
    assert caught.value.code == 1400


async def test_who_leaves_who_is_silent_and_what_is_too_large_have_codes_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_calls, "ACK_TIMEOUT_S", 0.01)
    codes = []
    for deed in ("silent", "acks", "leaves", "large"):
        target = Target()
        if deed == "large":
            task = target.start(payload="x" * 15_361)
        else:
            task = target.start(response_timeout_s=0.05)
            request = await target.arrived()
            if deed == "acks":
                target.say(ack(request.id))
            elif deed == "leaves":
                target.calls.handle_left("PA_other")
                target.calls.handle_left("PA_t")
        with pytest.raises(CallFailed) as caught:
            await task
        codes.append(caught.value.code)
    assert codes == [1501, 1502, 1503, 1402]


async def test_who_waits_less_than_an_acknowledgement_may_take_is_told_so_in_time() -> None:
    with pytest.raises(CallFailed) as caught:
        await Target().start(response_timeout_s=0.01)
    assert caught.value.code == 1502


async def test_a_call_that_fits_no_packet_is_refused_at_once() -> None:
    target = Target()
    task = target.start(method="m" * 70_000)
    with pytest.raises(CallFailed) as raised:
        await task
    assert raised.value.code == server_calls.PAYLOAD_TOO_LARGE
    assert target.packets.empty()
