"""One peer connection of the client: ICE, DTLS, SRTP and data channels behind one wire.

The order is fixed: ICE finds a way, DTLS shakes hands over it, then SRTP has keys and SCTP
starts. `set_remote` may be called again and again (every answer repeats it): only new ICE
credentials and new candidates have an effect. Lives on the loop that opened it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import structlog

from app.protocol.errors import ProtocolError
from app.rtc.data_channels import DataChannels
from app.rtc.dtls import Certificate, DtlsEndpoint, certificate_fingerprint, new_certificate
from app.rtc.ice_agent import IceAgent
from app.rtc.srtp import SrtpReceiver, SrtpSender
from app.rtc.stats import TransportStats
from app.runtime.errors import WorldError
from app.runtime.tasks import TaskOwner, spawn

log = structlog.get_logger(__name__)

CLOSED_BY_PEER = "closed by the server"

# Trickled candidates may come before the description that they belong to.
MAX_EARLY_CANDIDATES = 64


@dataclass(frozen=True)
class Channel:
    """A data channel to open as soon as the association is up."""

    label: str
    ordered: bool
    max_retransmits: int | None


LIVEKIT_CHANNELS = (
    Channel("_reliable", ordered=True, max_retransmits=None),
    Channel("_lossy", ordered=False, max_retransmits=0),
    Channel("_data_track", ordered=False, max_retransmits=0),
)


class ClientTransportObserver(Protocol):
    """What a transport tells its owner, on the loop."""

    def on_transport_connected(self) -> None:
        """Media may flow."""

    def on_transport_interrupted(self) -> None:
        """Nothing comes from the peer any more; an ICE restart may find another way."""

    def on_transport_restored(self) -> None:
        """A restart has found its way."""

    def on_transport_failed(self, reason: str) -> None:
        """The transport is of no more use. Said once, and not after `close`."""

    def on_channel_open(self, label: str) -> None:
        """Data may be sent on this channel."""

    def on_channel_data(self, label: str, data: bytes) -> None:
        """Take a message."""


class ClientTransport:
    """ICE, DTLS, SRTP and SCTP of one peer connection."""

    def __init__(
        self,
        name: str,
        *,
        is_offerer: bool,
        observer: ClientTransportObserver,
        channels: Sequence[Channel] = (),
        certificate: Certificate | None = None,
    ) -> None:
        self.name = name
        self._observer = observer
        self._is_offerer = is_offerer
        self._channels = tuple(channels)
        self._certificate = certificate or new_certificate()
        self._tasks = TaskOwner(f"transport-{name}")
        self._ice = IceAgent(
            is_controlling=is_offerer,
            on_selected=self._on_selected,
            on_lost=self._on_consent_lost,
            on_packet=self._on_packet,
        )
        self._dtls: DtlsEndpoint | None = None
        self._data: DataChannels | None = None
        self._srtp_sender: SrtpSender | None = None
        self._srtp_receiver: SrtpReceiver | None = None
        self._remote_ufrag = ""
        self._fingerprints: tuple[tuple[str, str], ...] = ()
        self._sctp: tuple[int, int] | None = None
        self._early_candidates: list[str] = []
        self._is_over = False
        self._is_shaking_hands = False
        self.is_connected = False
        self.on_rtp: Callable[[bytes], None] | None = None
        self.on_rtcp: Callable[[bytes], None] | None = None
        self._stats = TransportStats(name)

    # --- our side ----------------------------------------------------------------------------

    def open(self, server_addresses: Sequence[str]) -> None:
        """Bind sockets and gather candidates."""
        self._ice.open(server_addresses)

    @property
    def ufrag(self) -> str:
        """Our ICE user name fragment."""
        return self._ice.ufrag

    @property
    def pwd(self) -> str:
        """Our ICE password."""
        return self._ice.pwd

    @property
    def fingerprint(self) -> str:
        """SHA-256 of our certificate."""
        return certificate_fingerprint(self._certificate)

    @property
    def candidates(self) -> tuple[str, ...]:
        """Our candidates, without the word in front."""
        return self._ice.candidates

    @property
    def stats(self) -> TransportStats:
        """Counters at this moment."""
        self._stats.state = self._ice.state
        self._stats.round_trip_s = self._ice.round_trip_s
        return self._stats

    def restart_ice(self) -> None:
        """Make new credentials; the caller offers them, and the peer answers with new ones."""
        if self._is_over:
            return
        self._ice.restart()
        self._remote_ufrag = ""
        self._early_candidates = []

    # --- the peer's side ---------------------------------------------------------------------

    def set_remote(
        self,
        *,
        ufrag: str,
        pwd: str,
        is_lite: bool,
        fingerprints: Iterable[tuple[str, str]],
        dtls_role: Literal["client", "server"],
        candidates: Iterable[str] = (),
        sctp_port: int | None = None,
        max_message_bytes: int = 0,
    ) -> None:
        """Take the peer's description."""
        if self._is_over:
            return
        if sctp_port is not None:
            self._sctp = (sctp_port, max_message_bytes)
        if self._dtls is None:
            self._fingerprints = tuple(fingerprints)
            self._make_dtls(dtls_role)
        elif tuple(fingerprints) != self._fingerprints:
            raise ProtocolError("fingerprint changed")
        if ufrag != self._remote_ufrag:
            self._remote_ufrag = ufrag
            self._ice.set_controlling(self._is_offerer or is_lite)
            self._ice.set_remote(ufrag, pwd)
            early, self._early_candidates = self._early_candidates, []
            for line in early:
                self._ice.add_remote_candidate(line)
        for line in candidates:
            self._ice.add_remote_candidate(line)
        if self.is_connected:
            self._start_data()

    def add_remote_candidate(self, line: str) -> None:
        """Take a trickled candidate, before or after the description."""
        if self._remote_ufrag:
            self._ice.add_remote_candidate(line)
        elif len(self._early_candidates) < MAX_EARLY_CANDIDATES:
            self._early_candidates.append(line)

    def _make_dtls(self, role: Literal["client", "server"]) -> None:
        dtls = self._dtls = DtlsEndpoint(
            self._certificate, role=role, send=self._send_raw, send_burst=self._send_burst
        )
        dtls.on_closed = lambda: self._fail(CLOSED_BY_PEER)
        data = self._data = DataChannels(
            dtls,
            on_message=self._observer.on_channel_data,
            on_open=self._observer.on_channel_open,
        )
        for channel in self._channels:
            data.create(
                channel.label, ordered=channel.ordered, max_retransmits=channel.max_retransmits
            )

    # --- coming up and going down ------------------------------------------------------------

    def _on_selected(self) -> None:
        if self._is_over:
            return
        if self.is_connected:
            self._observer.on_transport_restored()
        elif not self._is_shaking_hands:
            self._is_shaking_hands = True
            spawn(self._shake_hands(), name="dtls", owner=self._tasks)

    def _on_consent_lost(self) -> None:
        if not self.is_connected:
            self._fail("consent lost")
        elif not self._is_over:
            self._observer.on_transport_interrupted()

    async def _shake_hands(self) -> None:
        dtls = self._dtls
        assert dtls is not None
        try:
            await dtls.handshake(self._fingerprints)
        except (WorldError, ProtocolError) as error:
            self._fail(f"DTLS: {error}")
            return
        keys = dtls.srtp_keys()
        self._srtp_sender = SrtpSender(keys)
        self._srtp_receiver = SrtpReceiver(keys)
        self.is_connected = True
        self._start_data()
        log.info("transport connected", transport=self.name)
        self._observer.on_transport_connected()

    def _start_data(self) -> None:
        if self._data is not None and self._sctp is not None:
            self._data.start(*self._sctp)

    def _fail(self, reason: str) -> None:
        if self._is_over:
            return
        self._is_over = True
        self.is_connected = False
        log.info("transport failed", transport=self.name, reason=reason)
        self._observer.on_transport_failed(reason)

    async def close(self) -> None:
        """Say goodbye and release the sockets. Idempotent."""
        self._is_over = True
        self.is_connected = False
        await self._tasks.close()
        if self._data is not None:
            await self._data.close()
        if self._dtls is not None:
            await self._dtls.close()
        self._ice.close()

    # --- packets -----------------------------------------------------------------------------

    def _send_raw(self, data: bytes) -> None:
        self._stats.packets_sent += 1
        self._stats.bytes_sent += len(data)
        self._ice.send(data)

    def _send_burst(self, data: bytes, sizes: Sequence[int]) -> None:
        self._stats.packets_sent += len(sizes)
        self._stats.bytes_sent += len(data)
        self._ice.send_burst(data, sizes)

    def _on_packet(self, data: bytes) -> None:
        """Tell DTLS from SRTP (RFC 7983). Hot path."""
        stats = self._stats
        stats.packets_received += 1
        stats.bytes_received += len(data)
        first = data[0]
        if 128 <= first <= 191:
            receiver = self._srtp_receiver
            if receiver is None or len(data) < 2:
                return
            # RTCP packet types 192-223 (RFC 5761 §4).
            if 192 <= data[1] <= 223:
                plain = receiver.unprotect_rtcp(data)
                if plain is not None and self.on_rtcp is not None:
                    self.on_rtcp(plain)
            else:
                plain = receiver.unprotect(data)
                if plain is not None and self.on_rtp is not None:
                    self.on_rtp(plain)
        elif 20 <= first <= 63 and self._dtls is not None:
            self._dtls.feed(data)

    def send_rtp(self, packet: bytes | bytearray) -> bool:
        """Protect and send one RTP packet; False when the transport is not up. Hot path."""
        sender = self._srtp_sender
        if sender is None or not self.is_connected:
            return False
        self._send_raw(sender.protect(packet))
        return True

    def send_rtcp(self, packet: bytes | bytearray) -> bool:
        """Protect and send one RTCP compound packet; False when the transport is not up."""
        sender = self._srtp_sender
        if sender is None or not self.is_connected:
            return False
        self._send_raw(sender.protect_rtcp(packet))
        return True

    # --- data --------------------------------------------------------------------------------

    def is_channel_open(self, label: str) -> bool:
        """Whether `send_data` would be accepted now."""
        return self._data is not None and self._data.is_open(label)

    def buffered_bytes(self, label: str) -> int:
        """Bytes of this channel that wait for the network."""
        return 0 if self._data is None else self._data.buffered_amount(label)

    def send_data(self, label: str, data: bytes) -> None:
        """Queue a message; ConnectionError when the channel is not open."""
        if self._data is None:
            raise ConnectionError("no data channels yet")
        self._data.send(label, data)

    def channel_ids(self) -> dict[str, int]:
        """Return the stream ids of our open channels, by label."""
        return {} if self._data is None else self._data.channel_ids()

    async def drain(self, label: str, below_bytes: int) -> None:
        """Wait until at most that many bytes are buffered, or the channel has closed."""
        if self._data is not None:
            await self._data.drain(label, below_bytes)
