"""Sessions with everything they were told, and media that can be checked at the other end."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from livekit.protocol import models as lk_models
from livekit.protocol import rtc as lk_rtc

from app.engine.session import (
    AudioRtpReceiver,
    AudioRtpSender,
    LayerParameters,
    Session,
    SessionOptions,
    VideoRtpReceiver,
    VideoRtpSender,
)
from app.protocol.rtp.encoded import AudioPacket, EncodedVideoFrame
from app.protocol.token import VideoGrant, issue_token
from app.runtime.tasks import TaskOwner
from app.server.config import ServerConfig
from app.server.service import SfuService

KEY, SECRET = "flow", "flow-secret-of-at-least-32-bytes"
DEADLINE_S = 30.0


def token(
    identity: str,
    *,
    room: str = "room",
    ttl_s: int = 600,
    attributes: Mapping[str, str] | None = None,
    **grant: Any,
) -> str:
    """A token for the test server."""
    return issue_token(
        api_key=KEY,
        api_secret=SECRET,
        identity=identity,
        now_s=time.time() - (700 if ttl_s < 0 else 0),
        ttl_s=abs(ttl_s),
        attributes=attributes,
        grant=VideoGrant(room_join=True, room=room, **({"can_update_own_metadata": True} | grant)),
    )


@asynccontextmanager
async def serving(port: int = 0, rtc_port: int = 0) -> AsyncIterator[SfuService]:
    """A real server in this loop."""
    service = SfuService(ServerConfig(keys={KEY: SECRET}, port=port, rtc_port=rtc_port))
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


async def eventually(check: Callable[[], Any], *, what: str = "") -> Any:
    """Wait until `check` returns something true, and return it."""
    end_s = time.monotonic() + DEADLINE_S
    while not (value := check()):
        assert time.monotonic() < end_s, f"did not happen: {what or check}"
        await asyncio.sleep(0.005)
    return value


class Witness:
    """Writes down what a session reports."""

    def __init__(self) -> None:
        self.events: list[tuple[str, tuple[Any, ...]]] = []
        self.receivers: dict[str, AudioRtpReceiver | VideoRtpReceiver] = {}
        self.frames: dict[str, list[EncodedVideoFrame]] = {}
        self.packets: dict[str, list[AudioPacket]] = {}
        self.data: list[tuple[lk_models.DataPacket, bool]] = []
        self.participants: dict[str, lk_models.ParticipantInfo] = {}

    def __getattr__(self, name: str) -> Callable[..., None]:
        if not name.startswith("on_"):
            raise AttributeError(name)
        return lambda *args, **kwargs: self.events.append((name, (*args, *kwargs.values())))

    def names(self) -> list[str]:
        """The events so far, without those of no interest to order."""
        return [name for name, _ in self.events]

    def count(self, name: str) -> int:
        return self.names().count(name)

    def arguments(self, name: str) -> tuple[Any, ...]:
        """The arguments of the last event of that name."""
        return next(args for event, args in reversed(self.events) if event == name)

    def on_update(self, participants: list[lk_models.ParticipantInfo]) -> None:
        self.events.append(("on_update", (participants,)))
        for info in participants:
            self.participants[info.identity] = info

    def on_track(
        self, participant_sid: str, track_sid: str, receiver: AudioRtpReceiver | VideoRtpReceiver
    ) -> None:
        self.events.append(("on_track", (participant_sid, track_sid)))
        self.receivers[track_sid] = receiver
        if isinstance(receiver, VideoRtpReceiver):
            receiver.sink = self.frames.setdefault(track_sid, []).append
        else:
            receiver.sink = self.packets.setdefault(track_sid, []).append

    def on_data(self, packet: lk_models.DataPacket, reliable: bool) -> None:
        self.data.append((packet, reliable))


@asynccontextmanager
async def joined(
    url: str, identity: str, options: SessionOptions | None = None, **grant: Any
) -> AsyncIterator[tuple[Session, Witness]]:
    """A session in the room for the time of the block."""
    witness = Witness()
    session = Session(witness)  # type: ignore[arg-type]  # answers to every name
    await session.connect(url, token(identity, **grant), options)
    try:
        yield session, witness
    finally:
        await session.close()


def picture(counter: int, *, keyframe: bool, size_bytes: int = 900, width: int = 320) -> bytes:
    """A VP8 frame as far as transport is concerned: its first bytes and a counter."""
    head = b"\x10\x00\x00\x9d\x01\x2a" + struct.pack("<HH", width, width * 9 // 16)
    body = struct.pack("!I", counter)
    start = head if keyframe else b"\x11\x00\x00"
    return start + body + bytes(size_bytes - len(start) - len(body))


def counter_of(frame: EncodedVideoFrame) -> int:
    """The counter that `picture` put in."""
    start = 10 if frame.keyframe else 3
    return int(struct.unpack_from("!I", frame.data, start)[0])


class MediaSource:
    """Sends counted pictures and sounds until it is closed."""

    def __init__(self, owner: TaskOwner) -> None:
        self._owner = owner
        self.sent_pictures = 0
        self.sent_sounds = 0

    def play(
        self, sound: AudioRtpSender | None, video: VideoRtpSender | None, layers: int = 1
    ) -> None:
        """Start in the background."""
        wanted = set(range(layers))
        if video is not None:
            video.on_keyframe_request = wanted.add
        self._owner.spawn(self._run(sound, video, layers, wanted), name="source")

    async def _run(
        self,
        sound: AudioRtpSender | None,
        video: VideoRtpSender | None,
        layers: int,
        wanted: set[int],
    ) -> None:
        while True:
            if sound is not None:
                self.sent_sounds += 1
                counter = self.sent_sounds
                sound.send(
                    b"\xf8\xff\xfe" + struct.pack("!I", counter), 960 * counter, level_dbov=20
                )
            if video is not None:
                self.sent_pictures += 1
                counter = self.sent_pictures
                for layer in range(layers):
                    keyframe = layer in wanted
                    wanted.discard(layer)
                    size = 2_500 * (layer + 1)
                    data = picture(counter, keyframe=keyframe, size_bytes=size, width=320 << layer)
                    video.send(layer, EncodedVideoFrame("VP8", data, 1_800 * counter, keyframe))
            await asyncio.sleep(0.02)


async def publish_microphone(session: Session) -> tuple[str, AudioRtpSender]:
    """Publish an Opus track."""
    request = lk_rtc.AddTrackRequest(name="mic", type=lk_models.AUDIO, source=lk_models.MICROPHONE)
    track, sender = await session.publish(request, codec="opus")
    assert isinstance(sender, AudioRtpSender)
    return track.sid, sender


async def publish_camera(
    session: Session, *, simulcast: bool = False, codec: str = "VP8"
) -> tuple[str, VideoRtpSender]:
    """Publish a video track in one or two layers."""
    request = lk_rtc.AddTrackRequest(
        name="cam", type=lk_models.VIDEO, source=lk_models.CAMERA, width=640, height=360
    )
    quality = lk_models.VideoQuality
    request.layers.add(quality=quality.HIGH, width=640, height=360, bitrate=600_000)
    if simulcast:
        request.layers.add(quality=quality.LOW, width=320, height=180, bitrate=150_000)
    layers = [LayerParameters("q"), LayerParameters("h")] if simulcast else []
    track, sender = await session.publish(request, codec=codec, layers=layers)
    assert isinstance(sender, VideoRtpSender)
    return track.sid, sender
