"""A participant's peer connection on the server: ICE-lite, DTLS passive, SRTP, SCTP.

The offer's credentials go in by `set_remote`, ours are there from the start. Media that
arrives is opened in place and handed to `media`; what media sends leaves through `send_*` or,
many packets at once, through `send_segments`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from app.protocol.errors import ProtocolError
from app.rtc.data_channels import DataChannels
from app.rtc.datagrams import Destination
from app.rtc.dtls import Certificate, DtlsEndpoint
from app.rtc.ice_lite import (
    IceCredentials,
    PathSelector,
    answer_check,
    local_ufrag_of,
    new_credentials,
)
from app.rtc.srtp import SrtpReceiver, SrtpSender
from app.rtc.stun import StunMessage
from app.rtc.udp_mux import Path, UdpMux
from app.runtime.errors import WorldError
from app.runtime.tasks import TaskOwner, spawn

log = structlog.get_logger(__name__)

HANDSHAKE_TIMEOUT_S = 60.0
PEER_CLOSED = "peer closed"
_WATCH_INTERVAL_S = 1.0
# A peer that checked its path this recently keeps the address: clients check every 2-3 s.
_HOLD_S = 5.0
# More than any client has candidates; a forger of addresses has no end of them.
_MAX_ADDRESSES = 64
# What a client sends grows by names when it is passed on; its receivers take more than they send.
_MAX_FORWARD_BYTES = 128 << 10
# Above this the reader of a lossy channel is too slow for the news to be news.
_LOSSY_BUFFER_BYTES = 256 << 10


class TransportObserver(Protocol):
    """What the participant is told, on the loop; none of these may raise."""

    def on_connected(self) -> None:
        """DTLS is done: media can flow."""

    def on_interrupted(self) -> None:
        """The peer is silent on every path; it has a few seconds to come back."""

    def on_failed(self, reason: str) -> None:
        """The peer is gone for good; said once, never after `close`."""

    def on_data_open(self, label: str) -> None:
        """A data channel can be sent on."""

    def on_data(self, label: str, data: bytes) -> None:
        """A message arrived."""


class MediaReceiver(Protocol):
    """Who takes the opened packets; they lie in the mux's slots until it returns."""

    def handle_rtp(self, at: int, size: int) -> None:
        """Take one RTP packet."""

    def handle_rtcp(self, data: bytes) -> None:
        """Take one RTCP compound."""

    def handle_connected(self) -> None:
        """Take note that packets can be sent now."""


class ServerTransport:
    """One participant's only peer connection (v1). Lives on the server's loop."""

    def __init__(
        self, mux: UdpMux, certificate: Certificate, *, observer: TransportObserver
    ) -> None:
        self.mux = mux
        self.media: MediaReceiver | None = None
        self.is_connected = False
        self.sender: SrtpSender | None = None
        self.destination: Destination | None = None
        self.send_drops = 0
        self._observer = observer
        self._loop = asyncio.get_running_loop()
        self._generations: list[IceCredentials] = []
        self._restarts = -1
        self._paths = PathSelector()
        self._path: Path | None = None
        self._addresses: dict[tuple[int, bytes], Path] = {}
        self._receiver: SrtpReceiver | None = None
        self._is_closed = False
        self._has_failed = False
        self._is_silent = False
        self._started_s: float | None = None
        self._tasks = TaskOwner("server-transport")
        self._watch: asyncio.TimerHandle | None = None
        self._dtls = DtlsEndpoint(
            certificate, role="server", send=self._send_dtls, send_burst=self._send_dtls_burst
        )
        self._dtls.on_closed = self._on_dtls_closed
        self._channels = DataChannels(
            self._dtls,
            on_message=observer.on_data,
            on_open=observer.on_data_open,
            max_send_bytes=_MAX_FORWARD_BYTES,
        )
        self.fingerprint = self._dtls.local_fingerprint
        self.candidates = mux.candidates
        self.restart_ice()

    @property
    def ufrag(self) -> str:
        """Our current user name fragment."""
        return self._generations[-1].ufrag

    @property
    def pwd(self) -> str:
        """Our current password."""
        return self._generations[-1].pwd

    def restart_ice(self) -> None:
        """Make new credentials for an answer to an ICE restart.

        Those before stay valid: checks with them may still be under way, and media keeps
        its path until the new generation nominates one.
        """
        credentials = new_credentials()
        for outdated in self._generations[:-1]:
            self.mux.forget(outdated.ufrag)
        self._generations = [*self._generations[-1:], credentials]
        self._paths.expect(self._loop.time())
        self._restarts += 1
        self.mux.register(credentials.ufrag, self)

    def set_remote(
        self,
        *,
        fingerprints: Sequence[tuple[str, str]],
        sctp_port: int | None,
        max_message_size: int,
    ) -> None:
        """Start with what the offer says; later calls change nothing."""
        if self._started_s is not None or self._is_closed:
            return
        self._started_s = self._loop.time()
        self._watch = self._loop.call_later(_WATCH_INTERVAL_S, self._check_alive)
        spawn(
            self._connect(list(fingerprints), sctp_port, max_message_size),
            name="connect",
            owner=self._tasks,
        )

    async def _connect(
        self, fingerprints: list[tuple[str, str]], sctp_port: int | None, max_message_size: int
    ) -> None:
        try:
            await self._dtls.handshake(fingerprints, timeout_s=HANDSHAKE_TIMEOUT_S)
        except (ProtocolError, WorldError) as error:
            self._fail(f"dtls: {error}")
            return
        keys = self._dtls.srtp_keys()
        self._receiver = SrtpReceiver(keys)
        self.sender = SrtpSender(keys)
        if sctp_port is not None:
            self._channels.start(sctp_port, max_message_size)
        self.is_connected = True
        self.mux.version += 1
        if self.media is not None:
            self.media.handle_connected()
        self._observer.on_connected()

    # --- what the mux delivers

    def holds(self, path: Path) -> bool:
        """Whether the peer is alive on this path."""
        mine, checked_s = self._path, self._paths.last_check_s
        return (
            mine is not None
            and checked_s is not None
            and not (self._has_failed or self._is_closed)
            and (mine.mux_socket, mine.key) == (path.mux_socket, path.key)
            and self._loop.time() - checked_s < _HOLD_S
        )

    def handle_check(self, message: StunMessage, path: Path) -> bool:
        """Answer a binding request and follow the nomination."""
        ufrag = local_ufrag_of(message)
        generation, credentials = self._restarts, None
        for back, candidate in enumerate(reversed(self._generations)):
            if candidate.ufrag == ufrag:
                generation, credentials = self._restarts - back, candidate
        if credentials is None or self._is_closed:
            return False
        destination = path.destination
        try:
            answer, counts = answer_check(message, credentials, destination.address)
        except ProtocolError:
            return False
        path.mux_socket.send(answer, destination.address)
        if not counts:
            return False
        name = (path.mux_socket.descriptor, path.key)
        if name not in self._addresses:
            self._remember(name, path)
        if self._paths.handle_check(
            name,
            nominated=message.use_candidate,
            now_s=self._loop.time(),
            generation=generation,
        ):
            self._path = path
            self.destination = destination
            self.mux.version += 1
        return True

    def _remember(self, name: tuple[int, bytes], path: Path) -> None:
        """Count an address; of too many the oldest is given up."""
        self._addresses[name] = path
        if len(self._addresses) <= _MAX_ADDRESSES:
            return
        mine = self._path
        selected = (mine.mux_socket.descriptor, mine.key) if mine is not None else None
        oldest = self._addresses.pop(next(n for n in self._addresses if n != selected))
        if oldest.mux_socket.peers.get(oldest.key) is self:
            del oldest.mux_socket.peers[oldest.key]

    def handle_dtls(self, datagram: bytes) -> None:
        """Take one DTLS datagram."""
        self._dtls.feed(datagram)

    def handle_media(self, slot: int, at: int, size: int) -> None:
        """Open SRTP where it lies. Hot path."""
        receiver, media = self._receiver, self.media
        if receiver is None or media is None or size < 8:
            return
        area = self.mux.slots.area
        pointer = self.mux.slots.pointers[slot]
        # RTCP by its packet type, 192-223 in the second byte (RFC 5761 §4).
        if 192 <= area.data[at + 1] < 224:
            size = receiver.unprotect_at(area, pointer, size, rtcp=True)
            if size > 0:
                media.handle_rtcp(bytes(area.view[at : at + size]))
            return
        size = receiver.unprotect_at(area, pointer, size, rtcp=False)
        if size > 0:
            media.handle_rtp(at, size)

    # --- what leaves

    def _send_dtls(self, datagram: bytes) -> None:
        path = self._path
        if path is not None:
            path.mux_socket.send(datagram, path.destination.address)

    def _send_dtls_burst(self, records: bytes, sizes: Sequence[int]) -> None:
        path = self._path
        if path is not None:
            self.send_drops += path.mux_socket.send_burst(path.destination, records, sizes)

    def send_rtp(self, packet: bytes | bytearray) -> bool:
        """Protect and send one RTP packet; False when it could not leave."""
        if self.sender is None or self._path is None:
            return False
        try:
            return self._send(self.sender.protect(packet))
        except ValueError:
            # A resend under its old number may be too old for libsrtp's window.
            self.send_drops += 1
            return False

    def send_rtcp(self, compound: bytes) -> bool:
        """Protect and send one RTCP compound; False when it could not leave."""
        if self.sender is None or self._path is None:
            return False
        return self._send(self.sender.protect_rtcp(compound))

    def _send(self, datagram: bytes) -> bool:
        path = self._path
        assert path is not None
        if path.mux_socket.send(datagram, path.destination.address):
            return True
        self.send_drops += 1
        return False

    def send_data(self, label: str, data: bytes) -> bool:
        """Send a data-channel message; False when the channel is not open or overfull."""
        if not self._channels.is_open(label):
            return False
        if label != "_reliable" and self._channels.buffered_amount(label) > _LOSSY_BUFFER_BYTES:
            self.send_drops += 1
            return False
        try:
            self._channels.send(label, data)
        except (ConnectionError, ProtocolError):
            return False
        return True

    def data_buffered(self, label: str) -> int:
        """Return the bytes that wait on a data channel."""
        return self._channels.buffered_amount(label)

    def when_data_below(self, label: str, below: int, callback: Callable[[], None]) -> None:
        """Call back once as soon as no more than that waits, or the channel is shut."""
        self._channels.when_below(label, below, callback)

    def hold_data(self) -> None:
        """Keep the peer's reliable messages back: they close the window that it sees."""
        self._channels.hold()

    def release_data(self) -> None:
        """Hand over what was held back, and listen again."""
        self._channels.release()

    # --- the end

    def _check_alive(self) -> None:
        now_s = self._loop.time()
        deadline_s = self._paths.deadline_s()
        if deadline_s is not None and now_s >= deadline_s:
            self._fail("no binding request")
            return
        was_silent, self._is_silent = self._is_silent, self._paths.is_silent(now_s)
        if self._is_silent and not was_silent:
            self._observer.on_interrupted()
        self._watch = self._loop.call_later(_WATCH_INTERVAL_S, self._check_alive)

    def _on_dtls_closed(self) -> None:
        self._fail(PEER_CLOSED)

    def _fail(self, reason: str) -> None:
        if self._has_failed or self._is_closed:
            return
        self._has_failed = True
        self.is_connected = False
        self.mux.version += 1
        self._observer.on_failed(reason)

    async def close(self) -> None:
        """Say goodbye and forget the peer. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        self.is_connected = False
        self.mux.version += 1
        if self._watch is not None:
            self._watch.cancel()
        await self._tasks.close()
        await self._channels.close()
        await self._dtls.close()
        self.mux.unregister(self)
        self.media = None
