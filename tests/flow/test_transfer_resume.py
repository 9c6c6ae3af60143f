"""A file on its way while the socket, the path, or both break: nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from app.engine import rtc
from app.rtc import ice_checklist
from tests.flow.test_session_bad_network import media_through
from tests.support.link import PERFECT, UdpRelay
from tests.support.session_room import eventually, serving, token
from tests.support.tcp_relay import TcpRelay

SIZE_BYTES = 5_000_000
PIECE_BYTES = 50_000
OUTAGE_S = 3.0


@dataclass
class Scene:
    """Ada sends through both relays, Bob receives directly; what happened is written down."""

    ada: rtc.Room
    bob: rtc.Room
    socket: TcpRelay
    path: UdpRelay
    events: list[str] = field(default_factory=list)
    received: asyncio.Future[bytes] = field(default_factory=asyncio.Future)
    progress: int = 0

    async def receive(self, reader: Any) -> None:
        pieces = []
        async for piece in reader:
            pieces.append(bytes(piece))
            self.progress += len(piece)
        self.received.set_result(b"".join(pieces))


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(serving())
        bob = rtc.Room()
        await bob.connect(server.url, token("bob"))
        stack.push_async_callback(bob.disconnect)
        socket = await stack.enter_async_context(TcpRelay(server.port))
        path = await stack.enter_async_context(
            media_through(monkeypatch, server.rtc_port, PERFECT, PERFECT)
        )
        ada = rtc.Room()
        scene = Scene(ada, bob, socket, path)
        tasks: set[asyncio.Task[None]] = set()

        def take(reader: Any, _: str) -> None:
            tasks.add(asyncio.get_running_loop().create_task(scene.receive(reader)))

        bob.register_byte_stream_handler("files", take)
        for name in ("reconnecting", "reconnected", "disconnected"):
            ada.on(name, lambda *_, name=name: scene.events.append(name))
        for name in ("participant_disconnected", "participant_connected"):
            bob.on(name, lambda *_, name=name: scene.events.append(name))  # type: ignore[arg-type]
        await ada.connect(socket.url, token("ada"))
        stack.push_async_callback(ada.disconnect)
        await eventually(lambda: "participant_connected" in scene.events)
        scene.events.clear()
        yield scene


async def send(scene: Scene, content: bytes) -> None:
    writer = await scene.ada.local_participant.stream_bytes(
        "big.bin", topic="files", total_size=len(content)
    )
    for start in range(0, len(content), PIECE_BYTES):
        await writer.write(content[start : start + PIECE_BYTES])
        await asyncio.sleep(0.002)
    await writer.aclose()


async def check(scene: Scene, content: bytes, sending: asyncio.Task[None]) -> None:
    await sending
    received = await asyncio.wait_for(scene.received, 60)
    assert len(received) == len(content)
    assert hashlib.sha256(received).digest() == hashlib.sha256(content).digest()


def begin(scene: Scene) -> tuple[bytes, asyncio.Task[None]]:
    content = random.Random(4).randbytes(SIZE_BYTES)
    return content, asyncio.get_running_loop().create_task(send(scene, content))


async def test_a_file_does_not_notice_that_the_socket_was_cut(scene: Scene) -> None:
    content, sending = begin(scene)
    await eventually(lambda: scene.progress > 0.2 * SIZE_BYTES)
    scene.socket.cut()
    await eventually(lambda: scene.progress > 0.5 * SIZE_BYTES)
    scene.socket.cut()
    await check(scene, content, sending)
    await eventually(lambda: scene.events.count("reconnected") >= 1)
    assert set(scene.events) == {"reconnecting", "reconnected"}


async def test_a_file_waits_while_the_path_is_cut_for_seconds(scene: Scene) -> None:
    content, sending = begin(scene)
    await eventually(lambda: scene.progress > 0.3 * SIZE_BYTES)
    scene.path.up.conditions = scene.path.down.conditions = replace(PERFECT, loss=1.0)
    await asyncio.sleep(OUTAGE_S)
    scene.path.up.conditions = scene.path.down.conditions = PERFECT
    await check(scene, content, sending)
    assert scene.events == []


async def test_a_file_goes_on_after_everything_was_cut_for_seconds(scene: Scene) -> None:
    content, sending = begin(scene)
    await eventually(lambda: scene.progress > 0.3 * SIZE_BYTES)
    scene.path.up.conditions = scene.path.down.conditions = replace(PERFECT, loss=1.0)
    scene.socket.refuses = True
    scene.socket.cut()
    await asyncio.sleep(OUTAGE_S)
    scene.path.up.conditions = scene.path.down.conditions = PERFECT
    scene.socket.refuses = False
    await check(scene, content, sending)
    await eventually(lambda: "reconnected" in scene.events)
    assert scene.events == ["reconnecting", "reconnected"]


async def test_a_file_goes_on_after_an_ice_restart(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ice_checklist, "CONSENT_TIMEOUT_S", 3.0)
    monkeypatch.setattr(ice_checklist, "CONSENT_INTERVAL_S", 0.3)
    content, sending = begin(scene)
    await eventually(lambda: scene.progress > 0.3 * SIZE_BYTES)
    # The old consent lasts 15 s; a restart measures by the new one.
    scene.ada.session._connection._publisher.on_transport_interrupted()  # type: ignore[union-attr]
    await eventually(lambda: scene.events.count("reconnected") == 1)
    scene.path.up.conditions = scene.path.down.conditions = replace(PERFECT, loss=1.0)
    await eventually(lambda: scene.events.count("reconnecting") >= 2)
    scene.path.up.conditions = scene.path.down.conditions = PERFECT
    await check(scene, content, sending)
    await eventually(lambda: scene.events.count("reconnected") >= 2)
    assert set(scene.events) == {"reconnecting", "reconnected"}
