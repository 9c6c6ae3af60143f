"""Whatever is sent to the server API is answered, and never by a fault of ours."""

from __future__ import annotations

import json
import random
from typing import Any

import aiohttp
from google.protobuf.descriptor import FieldDescriptor

from app.server.api.absent_services import absent_services
from app.server.api.agent_dispatch import AgentDispatchService
from app.server.api.room_service import RoomService
from app.server.config import HostedRoom, ServerConfig
from app.server.service import SfuService
from tests.support.management import signed
from tests.support.raw_signal import RawSignal
from tests.support.session_room import KEY, SECRET, token

REQUESTS = 400
SEED = 7
EVERYTHING = {
    "roomCreate": True,
    "roomList": True,
    "roomAdmin": True,
    "roomRecord": True,
    "ingressAdmin": True,
    "room": "room",
    "destinationRoom": "side",
}
TEXTS = ("", "x", "room", "alice", "side", "TR_x", "\x00", "é" * 200, "lanai.door", "lanai.role")
NUMBERS = (0, 1, 2, 99, 2**31 - 1, 2**32, -1)
ODD: tuple[Any, ...] = (
    None,
    True,
    2**64,
    1e308,
    "\ud800",
    "====",
    [],
    [None],
    [[]],
    {},
    {"a": None},
    {"": 1},
)


class Sender:
    """Makes up requests: of the right form mostly, with the wrong things in them."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def body(self, kind: Any) -> tuple[str, bytes]:
        """Return a content type and what goes with it."""
        if self._random.random() < 0.2:
            size = self._random.randrange(60)
            return "application/protobuf", self._random.randbytes(size)
        request = self._message(kind)
        if "room" in request:
            request["room"] = self._random.choice(("room", "room", "side"))
        if "identity" in request:
            request["identity"] = self._random.choice(("alice", "alice", "nobody"))
        return "application/json", json.dumps(request).encode()

    def choose(self, options: list[Any]) -> Any:
        return self._random.choice(options)

    def _message(self, kind: Any, depth: int = 0) -> dict[str, Any]:
        share = 0.7 if depth == 0 else 0.3
        return {f.name: self._field(f, depth) for f in kind.fields if self._random.random() < share}

    def _field(self, field: FieldDescriptor, depth: int) -> Any:
        if self._random.random() < 0.03:
            return self._random.choice(ODD)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            return {self._random.choice(TEXTS): self._random.choice(TEXTS)}
        if field.is_repeated:
            return [self._value(field, depth) for _ in range(self._random.randrange(3))]
        return self._value(field, depth)

    def _value(self, field: FieldDescriptor, depth: int) -> Any:
        if field.message_type is not None:
            return self._message(field.message_type, depth + 1) if depth < 3 else {}
        if field.type == FieldDescriptor.TYPE_BOOL:
            return self._random.random() < 0.5
        if field.type == FieldDescriptor.TYPE_STRING:
            return self._random.choice(TEXTS)
        if field.type == FieldDescriptor.TYPE_BYTES:
            return self._random.choice(("", "aGk=", "_-8"))
        return self._random.choice(NUMBERS)


async def test_no_request_is_answered_by_a_fault_of_the_server() -> None:
    rooms = (HostedRoom("room"), HostedRoom("side"))
    config = ServerConfig(keys={KEY: SECRET}, port=0, rtc_port=0, door=True, rooms=rooms)
    service = SfuService(config)
    await service.start()
    services = {
        "RoomService": RoomService(config, service.rooms).methods,
        "AgentDispatchService": AgentDispatchService(service.rooms).methods,
        **absent_services(),
    }
    # A call on a participant without data channels would only wait.
    del services["RoomService"]["PerformRpc"]  # type: ignore[attr-defined]  # it is a dict
    names = [(service_name, method) for service_name, of in services.items() for method in of]
    ours = [pair for pair in names if pair[0] in ("RoomService", "AgentDispatchService")]
    sender = Sender(SEED)
    grants = signed(EVERYTHING, sip={"admin": True, "call": True})
    base = service.url.replace("ws", "http", 1) + "/twirp/livekit."
    codes: dict[str, int] = {}
    alice: RawSignal | None = None
    try:
        async with aiohttp.ClientSession() as http:
            for number in range(REQUESTS):
                room = service.rooms.find("room")
                if room is None or room.by_identity("alice") is None:
                    if alice is not None:
                        await alice.close()
                    # A removed person stays out of a hosted room: who comes is a newcomer to it.
                    service._gates._hosted["room"].standing.note_member("alice")  # type: ignore[union-attr]
                    alice = await RawSignal(service.url, token("alice")).__aenter__()
                name, method = sender.choose(ours if number % 4 else names)
                kind, body = sender.body(services[name][method].request.DESCRIPTOR)
                headers = {"Authorization": f"Bearer {grants}", "Content-Type": kind}
                async with http.post(f"{base}{name}/{method}", data=body, headers=headers) as got:
                    answer = await got.read()
                    code = "ok" if got.status == 200 else json.loads(answer)["code"]
                    codes[code] = codes.get(code, 0) + 1
                    assert got.status < 500 or got.status == 501, (name, method, body, answer)
    finally:
        if alice is not None:
            await alice.close()
        await service.stop()
    # It was no idle talk: much was understood, and done.
    assert codes["ok"] > REQUESTS // 8
    assert {"malformed", "invalid_argument", "not_found", "unauthenticated"} <= set(codes)
