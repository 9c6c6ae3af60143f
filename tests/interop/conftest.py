"""Official SDKs against our server, which runs as its own process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import ifaddr
import pytest
import pytest_asyncio

from tests.support.child import started_ahead
from tests.support.sdk_peer import COMMAND, SdkPeer
from tests.support.server_process import BY_FLAGS, ServerProcess


def _has_network() -> bool:
    """Whether there is an IPv4 address besides loopback: libwebrtc gathers nothing else."""
    return any(
        ip.is_IPv4 and not str(ip.ip).startswith("127.")
        for adapter in ifaddr.get_adapters()
        for ip in adapter.ips
    )


@pytest.fixture(scope="session", autouse=True)
def _next_ones_start_meanwhile() -> Iterator[None]:
    """What nearly every test here begins with is started while the one before it runs."""
    with started_ahead({BY_FLAGS: 1, COMMAND: 2}):
        yield


@pytest.fixture(scope="session")
def network() -> None:
    """Skip what the official SDK cannot do on loopback alone."""
    if not _has_network():
        pytest.skip("the official SDK needs one non-loopback interface")


@pytest_asyncio.fixture
async def server() -> AsyncIterator[ServerProcess]:
    """A fresh server on loopback."""
    async with ServerProcess() as process:
        yield process


@pytest_asyncio.fixture
async def alice() -> AsyncIterator[SdkPeer]:
    """An official SDK that has not joined yet."""
    async with SdkPeer("alice") as peer:
        yield peer


@pytest_asyncio.fixture
async def bob() -> AsyncIterator[SdkPeer]:
    """Another one."""
    async with SdkPeer("bob") as peer:
        yield peer
