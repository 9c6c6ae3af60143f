"""The server API by plain Twirp, and signalling clients that see what it does."""

from __future__ import annotations

import time
from typing import Any

import aiohttp
from livekit.protocol import models, rtc

from app.protocol.token import sign_claims
from app.server.room.room import Room
from app.server.service import SfuService
from tests.support.raw_signal import RawSignal
from tests.support.session_room import KEY, SECRET, token

ADMIN = {"roomAdmin": True, "room": "room"}
LISTENING = rtc.JoinRequest(
    client_info=models.ClientInfo(protocol=17),
    connection_settings=rtc.ConnectionSettings(auto_subscribe=True),
)


def signed(video: dict[str, Any], **claims: Any) -> str:
    now_s = int(time.time())
    return sign_claims(
        {"iss": KEY, "nbf": now_s, "exp": now_s + 600, "video": video, **claims},
        api_secret=SECRET,
    )


class Api:
    """Speaks Twirp JSON to one server."""

    def __init__(self, service: SfuService, session: aiohttp.ClientSession) -> None:
        self.url = service.url.replace("ws://", "http://") + "/twirp"
        self.session = session

    async def call(
        self, method: str, body: Any, video: dict[str, Any] | None = None, **claims: Any
    ) -> tuple[int, Any]:
        """Return status and body; `method` may name its service."""
        path = method if "/" in method else f"livekit.RoomService/{method}"
        headers = {}
        if video is not None:
            headers["Authorization"] = f"Bearer {signed(video, **claims)}"
        url = f"{self.url}/{path}"
        async with self.session.post(url, json=body, headers=headers) as response:
            return response.status, await response.json()

    async def admin(self, method: str, **body: Any) -> Any:
        """Call as an administrator of `room` and return a success."""
        status, answer = await self.call(method, {"room": "room", **body}, ADMIN)
        assert status == 200, answer
        return answer


def client(service: SfuService, identity: str, **grant: Any) -> RawSignal:
    return RawSignal(service.url, token(identity, **grant))


async def update_of(raw: RawSignal, identity: str) -> models.ParticipantInfo:
    while True:
        for info in (await raw.receive("update")).update.participants:
            if info.identity == identity:
                return info


def microphone(cid: str = "c1") -> rtc.AddTrackRequest:
    return rtc.AddTrackRequest(
        cid=cid, type=models.TrackType.AUDIO, source=models.TrackSource.MICROPHONE, muted=True
    )


async def announce(service: SfuService, raw: RawSignal, identity: str, cid: str = "c1") -> str:
    """Publish a track without media."""
    return await announce_in(service.rooms.live["room"], raw, identity, cid)


async def announce_in(room: Room, raw: RawSignal, identity: str, cid: str) -> str:
    """The same in another room."""
    await raw.send(add_track=microphone(cid))
    sid: str = (await raw.receive("track_published")).track_published.track.sid
    publisher = room.by_identity(identity)
    assert publisher is not None
    publisher._announce(publisher.publisher.publications[sid])
    return sid
