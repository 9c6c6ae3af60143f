"""Two DTLS endpoints joined by an in-memory wire that can lose datagrams."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from app.rtc.dtls import Certificate, DtlsEndpoint, new_certificate


class DtlsPair:
    """A server and a client endpoint; `lose(datagram)` decides what the wire drops."""

    def __init__(self, lose: Callable[[bytes], bool] = lambda datagram: False) -> None:
        self.lose = lose
        self.server_certificate: Certificate = new_certificate()
        self.client_certificate: Certificate = new_certificate()
        self.server = DtlsEndpoint(
            self.server_certificate, role="server", send=lambda data: self._carry(data, "client")
        )
        self.client = DtlsEndpoint(
            self.client_certificate, role="client", send=lambda data: self._carry(data, "server")
        )

    def _carry(self, data: bytes, to: str) -> None:
        if not self.lose(data):
            asyncio.get_running_loop().call_soon(getattr(self, to).feed, data)

    async def connect(self) -> None:
        await asyncio.gather(
            self.server.handshake([("sha-256", self.client.local_fingerprint)]),
            self.client.handshake([("sha-256", self.server.local_fingerprint)]),
        )

    async def close(self) -> None:
        await self.client.close()
        await self.server.close()
