"""Twirp latency beside twenty people, and attributes in a room of fifty: `python -m` this.

Participants speak signalling over real WebSockets to a server in a process of its own; they have
no media. Prints one JSON object.

- `twirp_ms`: each request on a connection of its own, as the server closes it, while the twenty
  change their attributes now and then; `server_cpu` is what one costs the server.
- `attributes`: 20 changes a second for 30 s by 50 people; `identical` says that all 50 ended with
  the same picture of everybody, `rising` that no version ever fell, `last_ms` how long after the
  last change the last of them knew it.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from contextlib import AsyncExitStack

import aiohttp
from livekit.protocol import models, rtc
from livekit.protocol import room as messages

from app.protocol.token import VideoGrant, issue_token
from tests.support.raw_signal import RawSignal
from tests.support.server_process import KEY, SECRET, ServerProcess, token_for

SMALL_ROOM, BIG_ROOM = 20, 50
REQUESTS = 1_000
CHANGES_PER_S, CHANGING_S = 20, 30.0
SETTLE_S = 10.0


class Watcher:
    """Somebody in the room who writes down what is heard of everybody."""

    def __init__(self, raw: RawSignal, identity: str) -> None:
        self.raw = raw
        self.identity = identity
        self.seen: dict[str, models.ParticipantInfo] = {}
        self.changed_s: dict[tuple[str, str], float] = {}
        self.is_rising = True
        for info in raw.joined.other_participants:
            self.take(info)

    def take(self, info: models.ParticipantInfo) -> None:
        before = self.seen.get(info.identity)
        if before is not None and before.sid == info.sid and info.version < before.version:
            self.is_rising = False
        self.seen[info.identity] = info
        step = info.attributes.get("step", "")
        self.changed_s.setdefault((info.identity, step), time.perf_counter())

    async def run(self) -> None:
        async for message in self.raw.socket:
            response = rtc.SignalResponse.FromString(message.data)
            if response.WhichOneof("message") == "update":
                for info in response.update.participants:
                    self.take(info)

    async def set_step(self, step: int) -> None:
        update = rtc.UpdateParticipantMetadata(request_id=step, attributes={"step": str(step)})
        await self.raw.send(update_metadata=update)

    def picture(self) -> dict[str, tuple[int, str]]:
        return {
            identity: (info.version, info.attributes.get("step", ""))
            for identity, info in self.seen.items()
        }


async def fill(
    stack: AsyncExitStack, server: ServerProcess, room: str, count: int
) -> list[Watcher]:
    watchers = []
    for number in range(count):
        identity = f"p{number}"
        raw = await stack.enter_async_context(RawSignal(server.url, token_for(identity, room=room)))
        watchers.append(Watcher(raw, identity))
    tasks = [asyncio.ensure_future(watcher.run()) for watcher in watchers]
    stack.callback(lambda: [task.cancel() for task in tasks])
    return watchers


async def time_twirp(server: ServerProcess) -> dict[str, float]:
    grant = VideoGrant(room_admin=True, room="small", room_list=True)
    token = issue_token(api_key=KEY, api_secret=SECRET, identity="", now_s=time.time(), grant=grant)
    url = f"{server.http_url}/twirp/livekit.RoomService"
    who = messages.RoomParticipantIdentity(room="small", identity="p3")
    requests = [
        ("ListRooms", messages.ListRoomsRequest()),
        ("ListParticipants", messages.ListParticipantsRequest(room="small")),
        ("GetParticipant", who),
        ("UpdateParticipant", messages.UpdateParticipantRequest(room="small", identity="p3")),
        ("SendData", messages.SendDataRequest(room="small", data=b"x")),
        ("UpdateRoomMetadata", messages.UpdateRoomMetadataRequest(room="small", metadata="m")),
    ]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/protobuf"}
    times_ms = []
    async with AsyncExitStack() as stack:
        watchers = await fill(stack, server, "small", SMALL_ROOM)
        session = await stack.enter_async_context(aiohttp.ClientSession(headers=headers))
        cpu_before_s = cpu_s(server.pid)
        for number in range(REQUESTS):
            if number % 10 == 0:
                await watchers[number // 10 % SMALL_ROOM].set_step(number)
            method, message = requests[number % len(requests)]
            if isinstance(message, messages.UpdateParticipantRequest):
                message.attributes["n"] = str(number)
            begun = time.perf_counter()
            async with session.post(
                f"{url}/{method}", data=message.SerializeToString()
            ) as response:
                body = await response.read()
                assert response.status == 200, body
            times_ms.append((time.perf_counter() - begun) * 1000)
        cpu_ms = (cpu_s(server.pid) - cpu_before_s) * 1000 / REQUESTS
    times_ms.sort()
    return {
        "p50": round(times_ms[REQUESTS // 2], 2),
        "p99": round(times_ms[REQUESTS * 99 // 100], 2),
        "server_cpu": round(cpu_ms, 2),
    }


async def change_attributes(server: ServerProcess) -> dict[str, object]:
    chance = random.Random(20)
    async with AsyncExitStack() as stack:
        watchers = await fill(stack, server, "big", BIG_ROOM)
        await asyncio.sleep(1)
        started_s = time.perf_counter()
        cpu_before_s = cpu_s(server.pid)
        last: dict[str, int] = {}
        changer = watchers[0]
        for step in range(1, int(CHANGES_PER_S * CHANGING_S) + 1):
            await asyncio.sleep(max(0.0, started_s + step / CHANGES_PER_S - time.perf_counter()))
            changer = chance.choice(watchers)
            last[changer.identity] = step
            await changer.set_step(step)
        ended_s = time.perf_counter()
        cpu = cpu_s(server.pid) - cpu_before_s
        await asyncio.sleep(SETTLE_S)
        mark = (changer.identity, str(last[changer.identity]))
        heard_s = [w.changed_s.get(mark, float("inf")) for w in watchers]
        pictures = [
            {k: v for k, v in watcher.picture().items() if k in last} for watcher in watchers
        ]
        told = {identity: str(step) for identity, step in last.items()}
        return {
            "changes": len(range(1, int(CHANGES_PER_S * CHANGING_S) + 1)),
            "identical": all(picture == pictures[0] for picture in pictures)
            and {k: step for k, (_, step) in pictures[0].items()} == told,
            "rising": all(watcher.is_rising for watcher in watchers),
            "last_ms": round((max(heard_s) - ended_s) * 1000, 1),
            "server_cpu_share": round(cpu / (ended_s - started_s), 3),
        }


def cpu_s(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def main() -> None:
    async with ServerProcess() as server:
        twirp_ms = await time_twirp(server)
        attributes = await change_attributes(server)
    print(json.dumps({"twirp_ms": twirp_ms, "attributes": attributes}))


if __name__ == "__main__":
    asyncio.run(main())
