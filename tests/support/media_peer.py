"""A bare client of the server's media port: STUN, DTLS, SRTP and data channels on one socket.

It has no jitter buffer and no codecs: tests hand it RTP packets and look at what comes back.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable

from app.rtc.data_channels import DataChannels
from app.rtc.dtls import DtlsEndpoint, new_certificate
from app.rtc.srtp import SrtpReceiver, SrtpSender
from app.rtc.stun import (
    BINDING_SUCCESS,
    StunMessage,
    build_binding_request,
    is_stun,
    parse_stun,
)


class MediaPeer:
    """One client on one UDP socket. `rtp` and `rtcp` collect what arrived, in the clear."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.sock = socket.socket(
            socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM
        )
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.sock.setblocking(False)
        self.sock.bind((host, 0))
        self.server: tuple[str, int] = ("", 0)
        self.dtls = DtlsEndpoint(new_certificate(), role="client", send=self._send_raw)
        self.fingerprint = self.dtls.local_fingerprint
        self.channels = DataChannels(self.dtls, on_message=self._on_message, on_open=self._on_open)
        self.rtp: list[bytes] = []
        self.rtcp: list[bytes] = []
        self.messages: list[tuple[str, bytes]] = []
        self.opened: list[str] = []
        self.stun_answers: list[StunMessage] = []
        self.unauthentic = 0
        self.on_rtp: Callable[[bytes], None] | None = None
        self.lose: Callable[[bytes], bool] = lambda datagram: False
        self._sender: SrtpSender | None = None
        self._receiver: SrtpReceiver | None = None
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self.sock.fileno(), self._drain)

    def check(self, ufrag: str, pwd: str, *, nominate: bool = True) -> None:
        self._send_raw(
            build_binding_request(
                secrets.token_bytes(12),
                username=f"{ufrag}:peer",
                password=pwd,
                priority=1,
                controlling=True,
                tie_breaker=1,
                use_candidate=nominate,
            )
        )

    async def connect(
        self, server: tuple[str, int], ufrag: str, pwd: str, fingerprint: str
    ) -> None:
        self.server = server
        self.check(ufrag, pwd)
        await self.until(lambda: bool(self.stun_answers))
        await self.dtls.handshake([("sha-256", fingerprint)])
        keys = self.dtls.srtp_keys()
        self._sender, self._receiver = SrtpSender(keys), SrtpReceiver(keys)

    def send_rtp(self, packet: bytes) -> None:
        assert self._sender is not None
        self._send_raw(self._sender.protect(packet))

    def send_rtcp(self, compound: bytes) -> None:
        assert self._sender is not None
        self._send_raw(self._sender.protect_rtcp(compound))

    async def until(self, condition: Callable[[], bool], timeout_s: float = 30) -> None:
        """Wait until something arrived that makes `condition` true."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def close(self) -> None:
        await self.channels.close()
        await self.dtls.close()
        self._loop.remove_reader(self.sock.fileno())
        self.sock.close()

    def vanish(self) -> None:
        """Stop answering, without a goodbye."""
        self._loop.remove_reader(self.sock.fileno())

    def _send_raw(self, datagram: bytes) -> None:
        self.sock.sendto(datagram, self.server)

    def _on_message(self, label: str, data: bytes) -> None:
        self.messages.append((label, data))

    def _on_open(self, label: str) -> None:
        self.opened.append(label)

    def _drain(self) -> None:
        for _ in range(256):
            try:
                datagram = self.sock.recv(4096)
            except BlockingIOError:
                break
            self._handle(datagram)
        self._changed.set()

    def _handle(self, datagram: bytes) -> None:
        if is_stun(datagram):
            message = parse_stun(datagram)
            if message.type == BINDING_SUCCESS:
                self.stun_answers.append(message)
        elif 20 <= datagram[0] < 64:
            self.dtls.feed(datagram)
        elif self._receiver is None or self.lose(datagram):
            pass
        elif 192 <= datagram[1] < 224:
            compound = self._receiver.unprotect_rtcp(datagram)
            if compound is None:
                self.unauthentic += 1
            else:
                self.rtcp.append(compound)
        else:
            packet = self._receiver.unprotect(datagram)
            if packet is None:
                self.unauthentic += 1
            elif self.on_rtp is not None:
                self.on_rtp(packet)
            else:
                self.rtp.append(packet)
