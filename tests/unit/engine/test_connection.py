"""A connection that is lost in the very turn in which it came up or came back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from livekit.protocol import models, rtc

from app.engine.connection import Connection, ConnectionObserver
from app.engine.signalling import ResumeTicket, SignalTarget
from app.protocol.signal_client import LossCause, Lost, Resumed
from app.runtime.errors import WorldError

TARGET = SignalTarget("ws://server", "token")
TICKET = ResumeTicket("PA_1", models.ReconnectReason.RR_SIGNAL_DISCONNECTED)


class Deaf:
    """An observer that only counts."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *_: self.heard.append(name)


@pytest.fixture
async def connection() -> AsyncIterator[Connection]:
    connection = Connection(cast("ConnectionObserver", Deaf()))
    yield connection
    await connection.close()


async def test_what_is_lost_as_it_comes_up_has_not_come_up(connection: Connection) -> None:
    opening = asyncio.ensure_future(connection._until_connected(connection._publisher))
    await asyncio.sleep(0)

    connection.on_peer_connected(connection._publisher)
    connection.lose("gone")

    with pytest.raises(WorldError, match="gone"):
        await opening


async def test_what_is_lost_as_the_server_agrees_offers_nothing(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def reopen(*_: object) -> None:
        return None

    monkeypatch.setattr(connection._link, "reopen", reopen)
    monkeypatch.setattr(connection._publisher.transport, "restart_ice", lambda: None)
    connection._negotiator = connection._new_negotiator((1, 1))
    connection._is_up = connection._is_away = True
    coming_back = asyncio.ensure_future(
        connection.resume(TARGET, TICKET, state=rtc.SyncState, timeout_s=30.0)
    )
    await asyncio.sleep(0)

    connection._on_output(Resumed(rtc.ReconnectResponse()))
    connection._on_output(Lost(LossCause.CLOSED))

    with pytest.raises(WorldError):
        await coming_back
    assert connection._is_away
    # Its time-out would end the connection while a later attempt goes well.
    assert connection._offer_timer is None
