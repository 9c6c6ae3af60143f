"""One peer connection of a stay: its transport, its media, and who hears of it."""

from __future__ import annotations

from typing import Protocol

from app.engine.media_sections import LocalTransport, RemoteTransport
from app.rtc.client_transport import CLOSED_BY_PEER, LIVEKIT_CHANNELS, ClientTransport
from app.rtc.media_router import MediaRouter


class PeerObserver(Protocol):
    """What a peer connection tells the connection that owns it."""

    def on_peer_connected(self, peer: Peer) -> None:
        """Media and data can flow."""

    def on_peer_interrupted(self, peer: Peer) -> None:
        """The server is silent on this peer connection; an ICE restart may find another way."""

    def on_peer_restored(self, peer: Peer) -> None:
        """An ICE restart has found its way."""

    def on_peer_failed(self, peer: Peer, reason: str, *, is_goodbye: bool) -> None:
        """The peer connection is of no more use; `is_goodbye` when the server closed it."""

    def on_channel_open(self, peer: Peer, label: str) -> None:
        """Data can be sent on this channel."""

    def on_channel_data(self, label: str, data: bytes) -> None:
        """Take a message."""


class Peer:
    """A transport with the media that it carries.

    `opens_channels` for the one on which the client opens LiveKit's data channels.
    """

    def __init__(
        self, name: str, observer: PeerObserver, *, is_offerer: bool, opens_channels: bool
    ) -> None:
        self.name = name
        self.is_connected = False
        self._observer = observer
        self.transport = ClientTransport(
            name,
            is_offerer=is_offerer,
            observer=self,
            channels=LIVEKIT_CHANNELS if opens_channels else (),
        )
        self.router = MediaRouter(self.transport)

    def local(self) -> LocalTransport:
        """Return our end as descriptions name it."""
        transport = self.transport
        return LocalTransport(
            transport.ufrag, transport.pwd, transport.fingerprint, transport.candidates
        )

    def set_remote(self, remote: RemoteTransport) -> None:
        """Take the server's end from one of its descriptions."""
        self.transport.set_remote(
            ufrag=remote.ufrag,
            pwd=remote.pwd,
            is_lite=remote.is_lite,
            fingerprints=remote.fingerprints,
            dtls_role=remote.dtls_role,
            candidates=remote.candidates,
            sctp_port=remote.sctp_port,
            max_message_bytes=remote.max_message_bytes,
        )

    async def close(self) -> None:
        """Stop media and release the sockets."""
        self.router.close()
        await self.transport.close()

    # --- ClientTransportObserver -------------------------------------------------------------

    def on_transport_connected(self) -> None:
        """Take the transport's coming up."""
        self.is_connected = True
        self._observer.on_peer_connected(self)

    def on_transport_interrupted(self) -> None:
        """Take the peer's silence."""
        self._observer.on_peer_interrupted(self)

    def on_transport_restored(self) -> None:
        """Take the new way."""
        self._observer.on_peer_restored(self)

    def on_transport_failed(self, reason: str) -> None:
        """Take the transport's end."""
        self._observer.on_peer_failed(self, reason, is_goodbye=reason == CLOSED_BY_PEER)

    def on_channel_open(self, label: str) -> None:
        """Take a channel's opening."""
        self._observer.on_channel_open(self, label)

    def on_channel_data(self, label: str, data: bytes) -> None:
        """Take a message."""
        self._observer.on_channel_data(label, data)
