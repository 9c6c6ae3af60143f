"""The reference's refusals, asked of our server: the same status for the same request."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from app.protocol.token import sign_claims
from app.server.config import ServerConfig
from app.server.service import SfuService
from tests.support.vectors import read_vector

SECRET = "secret-secret-secret-secret-secret-32"
RECORDED_AT_S = 1_795_201_108
# v0 comes later: until then its paths answer a plain 404.
MISSING_PATHS = ("/rtc", "/rtc/validate")


def recorded() -> list[tuple[str, dict[str, Any], int]]:
    """Each request with the status that the reference gave."""
    records = read_vector("server_refuses.jsonl")
    pairs = zip(records[::2], records[1::2], strict=True)
    return [(asked.type, asked.json, answered.json["status"]) for asked, answered in pairs]


CASES = [case for case in recorded() if case[0].removeprefix("GET ") not in MISSING_PATHS]


@pytest_asyncio.fixture
async def service() -> AsyncIterator[SfuService]:
    running = SfuService(ServerConfig(keys={"devkey": SECRET}, port=0, rtc_port=0))
    await running.start()
    yield running
    await running.stop()


def token_for(case: dict[str, Any]) -> str:
    """Sign the recorded claims again, moved to now."""
    shift_s = int(time.time()) - RECORDED_AT_S
    claims = dict(case["token_claims"])
    for key in ("nbf", "exp"):
        if key in claims:
            claims[key] += shift_s
    wrong = "bad signature" in case["case"]
    return sign_claims(claims, api_secret="x" * 37 if wrong else SECRET)


def test_there_are_recorded_refusals() -> None:
    assert len(CASES) > 15


async def test_every_recorded_request_gets_the_recorded_status(service: SfuService) -> None:
    base = service.url.replace("ws://", "http://")
    async with aiohttp.ClientSession() as session:
        for kind, case, status in CASES:
            method, path = kind.split(" ")
            headers = dict(case["headers"])
            query = dict(case["query"])
            if case["token_claims"] is not None:
                token = token_for(case)
                headers = {k: v.replace("<jwt>", token) for k, v in headers.items()}
                query = {k: v.replace("<jwt>", token) for k, v in query.items()}
            if case["websocket"]:
                with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                    await session.ws_connect(base + path, params=query, headers=headers)
                assert caught.value.status == status, case["case"]
                continue
            async with session.request(
                method, base + path, params=query, headers=headers
            ) as response:
                assert response.status == status, case["case"]
                assert "Access-Control-Allow-Origin" in response.headers


@pytest.mark.parametrize("path", MISSING_PATHS)
async def test_the_older_paths_are_plainly_missing(service: SfuService, path: str) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.get(service.url.replace("ws://", "http://") + path) as response,
    ):
        assert (response.status, await response.text()) == (404, "")
        assert response.headers["Access-Control-Allow-Origin"] == "*"
