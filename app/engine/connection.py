"""One join of one room: signalling, transports and negotiation, from welcome to loss.

A `Connection` is joined once. On v1 it may be interrupted: its socket broke, or nothing comes from
the server any more. Then `resume` goes on over another socket and another way, while the session
above decides when and how often. When it is lost for good, the session throws it away and makes
another. Everything here runs on the engine's loop; what happened is told to a
`ConnectionObserver`, in order.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import structlog
from google.protobuf.message import Message
from livekit.protocol import models as lk_models
from livekit.protocol import rtc as lk_rtc

from app.engine.media_sections import (
    DownlinkTrack,
    Uplink,
    UplinkParameters,
)
from app.engine.negotiation import (
    INITIAL_SLOTS,
    Negotiated,
    PublisherNegotiator,
    SubscriberNegotiator,
)
from app.engine.peer import Peer
from app.engine.signalling import ResumeTicket, SignalLink, SignalTarget, resolve
from app.protocol.errors import ProtocolError
from app.protocol.signal_client import (
    Joined,
    Left,
    LossCause,
    Lost,
    Output,
    Received,
    RequestFailed,
    Responded,
    Resumed,
    Send,
    TokenRefreshed,
    TrackPublished,
)
from app.protocol.trickle import parse_trickle
from app.rtc.media_router import MediaRouter
from app.rtc.stats import TransportStats
from app.runtime.errors import Reason, WorldError

log = structlog.get_logger(__name__)

NEGOTIATION_TIMEOUT_S = 15.0
NEGOTIATION_DELAY_S = 0.01
# A goodbye of the transport (UDP) may overtake the `leave` (TCP) that says why.
LEAVE_GRACE_S = 1.0


class ConnectionObserver(Protocol):
    """What a connection tells the session."""

    def on_welcome(self, join: lk_rtc.JoinResponse) -> None:
        """Take the server's welcome."""

    def on_signal(self, kind: str, message: Message) -> None:
        """Take a message that is about the room."""

    def on_token(self, token: str) -> None:
        """Take a newer token."""

    def on_track_opened(self, track: DownlinkTrack, router: MediaRouter) -> None:
        """Take a track that now reaches us over `router`."""

    def on_track_closed(self, track: DownlinkTrack) -> None:
        """Take the end of a track."""

    def on_uplink(self, parameters: UplinkParameters, router: MediaRouter) -> None:
        """Take what the server accepted for a published track."""

    def on_message(self, label: str, data: bytes) -> None:
        """Take a message of a data channel."""

    def on_leave(self, leave: lk_rtc.LeaveRequest) -> None:
        """Take the server's `leave` after the welcome."""

    def on_interrupted(self, cause: str, reason: lk_models.ReconnectReason) -> None:
        """Take an interruption: `resume` may help."""

    def on_lost(self, cause: str) -> None:
        """Take the loss of the connection; said once."""


class ResumeRefusedError(WorldError):
    """The connection cannot go on, whatever the network does: a fresh join is due."""

    def __init__(self, detail: str) -> None:
        super().__init__(Reason.REFUSED, retry=True, detail=detail)


def refused_join(leave: lk_rtc.LeaveRequest) -> WorldError:
    """Turn a `leave` in place of the welcome into an error."""
    reasons = lk_models.DisconnectReason
    detail = f"leave: {reasons.Name(leave.reason)}"
    if leave.reason in (reasons.PARTICIPANT_REMOVED, reasons.USER_REJECTED):
        return WorldError(Reason.DENIED, detail=detail)
    if leave.reason in (reasons.ROOM_DELETED, reasons.ROOM_CLOSED):
        return WorldError(Reason.NOT_FOUND, detail=detail)
    return WorldError(Reason.REFUSED, retry=True, detail=detail)


class Connection:
    """Signalling plus one peer connection (v1) or two (v0)."""

    def __init__(self, observer: ConnectionObserver) -> None:
        self.observer = observer
        self.is_v1 = True
        self._link = SignalLink(self._on_output)
        self._publisher = Peer("publisher", self, is_offerer=True, opens_channels=True)
        self._subscriber: Peer | None = None
        self._negotiator: PublisherNegotiator | None = None
        self._answerer: SubscriberNegotiator | None = None
        self._welcome: asyncio.Future[lk_rtc.JoinResponse] | None = None
        self._addresses: list[str] = []
        self._open_labels: set[str] = set()
        self._label_waiters: dict[str, list[asyncio.Future[None]]] = {}
        self._published: dict[str, asyncio.Future[lk_models.TrackInfo]] = {}
        self._responses: dict[int, asyncio.Future[Responded]] = {}
        self._settled: list[asyncio.Future[None]] = []
        self._negotiation_timer: asyncio.TimerHandle | None = None
        self._offer_timer: asyncio.TimerHandle | None = None
        self._grace_timer: asyncio.TimerHandle | None = None
        self._primary: Peer | None = None
        self._connected: asyncio.Future[None] | None = None
        self._failure: WorldError | None = None
        self._resuming: asyncio.Future[lk_rtc.ReconnectResponse] | None = None
        self._restored: asyncio.Future[None] | None = None
        self._is_away = False
        self._is_up = False
        self._is_over = False

    # --- joining -----------------------------------------------------------------------------

    async def open(self, target: SignalTarget, *, timeout_s: float) -> lk_rtc.JoinResponse:
        """Join and wait until media can flow. Raises `WorldError`; then `close` is due."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._open(target)
        except TimeoutError as error:
            raise WorldError(Reason.TIMEOUT, retry=True, detail="joining") from error

    async def _open(self, target: SignalTarget) -> lk_rtc.JoinResponse:
        self._addresses = await resolve(target.url)
        self._publisher.transport.open(self._addresses)
        self._welcome = asyncio.get_running_loop().create_future()
        # A failure may come before anybody waits; `_failure` holds it.
        self._welcome.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._negotiator = self._new_negotiator(INITIAL_SLOTS)
        first_offer = self._negotiator.next_offer()
        assert first_offer is not None
        self.is_v1 = await self._link.open(target, lambda: first_offer)
        if not self.is_v1:
            self._negotiator = self._new_negotiator((0, 0))
            self._answerer = SubscriberNegotiator(session_id=secrets.randbits(62))
        join = await self._welcome
        primary = self._publisher
        if not self.is_v1:
            self._negotiate_soon()
            if join.subscriber_primary:
                primary = self._subscriber_peer()
        await self._until_connected(primary)
        self._is_up = True
        log.info("joined", mode="v1" if self.is_v1 else "v0", server=join.server_info.version)
        return join

    async def _until_connected(self, primary: Peer) -> None:
        if self._failure is not None:
            raise self._failure
        if primary.is_connected:
            return
        self._primary = primary
        self._connected = asyncio.get_running_loop().create_future()
        await self._connected
        # Lost in the turn in which it came up: nobody is told of that but by this.
        if self._failure is not None:
            raise self._failure

    def on_peer_connected(self, peer: Peer) -> None:
        """Note that a transport is up; the primary one completes `open`."""
        if peer is self._primary and self._connected is not None and not self._connected.done():
            self._connected.set_result(None)

    def on_peer_interrupted(self, peer: Peer) -> None:
        """Look for another way to the server; on v0 only a fresh join helps."""
        cause = f"{peer.name}: silent"
        if self._is_up and self.is_v1:
            self._interrupt(cause, lk_models.ReconnectReason.RR_PUBLISHER_FAILED)
        else:
            self.lose(cause)

    def on_peer_restored(self, peer: Peer) -> None:
        """Note that media goes another way now."""
        if self._restored is not None and not self._restored.done():
            self._restored.set_result(None)

    def on_peer_failed(self, peer: Peer, reason: str, *, is_goodbye: bool) -> None:
        """Give up when a transport is gone; after a goodbye wait for the reason first."""
        cause = f"{peer.name}: {reason}"
        if is_goodbye and self._is_up and not self._is_over:
            self._grace_timer = asyncio.get_running_loop().call_later(
                LEAVE_GRACE_S, self.lose, cause
            )
        else:
            self.lose(cause)

    def _fail_open(self, error: WorldError) -> None:
        """Let `open` fail with this error, wherever it waits."""
        self._failure = error
        for future in (self._welcome, self._connected):
            if future is not None and not future.done():
                future.set_exception(error)

    def _new_negotiator(self, slots: tuple[int, int]) -> PublisherNegotiator:
        return PublisherNegotiator(
            self._publisher.local(), session_id=secrets.randbits(62), slots=slots
        )

    def _subscriber_peer(self) -> Peer:
        if self._subscriber is None:
            self._subscriber = Peer("subscriber", self, is_offerer=False, opens_channels=False)
            self._subscriber.transport.open(self._addresses)
        return self._subscriber

    def lose(self, cause: str) -> None:
        """Give the connection up: the observer is told once."""
        if self._is_over:
            return
        self._is_over = True
        log.info("connection lost", cause=cause)
        error = WorldError(Reason.NO_ROUTE, retry=True, detail=cause)
        self._abandon(error)
        if self._is_up:
            self._fail_resume(ResumeRefusedError(cause))
            self.observer.on_lost(cause)
        else:
            self._fail_open(error)

    def _abandon(self, error: WorldError) -> None:
        """Fail everybody who waits for something."""
        waiting: list[asyncio.Future[Any]] = [*self._settled, *self._published.values()]
        waiting += self._responses.values()
        for waiters in self._label_waiters.values():
            waiting += waiters
        self._settled.clear()
        self._label_waiters.clear()
        self._published.clear()
        self._responses.clear()
        for future in waiting:
            if not future.done():
                future.set_exception(error)
                # Whoever waited may have been cancelled meanwhile.
                future.exception()

    async def close(self) -> None:
        """Leave and release everything. Idempotent."""
        self._is_over = True
        self._fail_resume(ResumeRefusedError("closed"))
        self._abandon(WorldError(Reason.NO_ROUTE, detail="closed"))
        for timer in (self._negotiation_timer, self._offer_timer, self._grace_timer):
            if timer is not None:
                timer.cancel()
        await self._link.close()
        await self._publisher.close()
        if self._subscriber is not None:
            await self._subscriber.close()

    # --- signalling --------------------------------------------------------------------------

    def send(self, request: lk_rtc.SignalRequest) -> None:
        """Send a request that has no answer."""
        self._link.send(request)

    def _on_output(self, output: Output) -> None:
        if self._is_over:
            return
        match output:
            case Joined(join):
                self.observer.on_welcome(join)
                if self._welcome is not None and not self._welcome.done():
                    self._welcome.set_result(join)
            case Resumed(reconnect):
                if self._resuming is not None and not self._resuming.done():
                    self._resuming.set_result(reconnect)
            case Left(leave):
                self._on_left(leave)
            case Lost(cause):
                self._on_lost(cause)
            case TokenRefreshed(token):
                self.observer.on_token(token)
            case TrackPublished(cid, track):
                published = self._published.pop(cid, None)
                if published is not None and not published.done():
                    published.set_result(track)
            case RequestFailed(cid, reason, detail):
                refused = self._published.pop(cid, None)
                if refused is not None and not refused.done():
                    kind = Reason.TIMEOUT if reason is None else Reason.DENIED
                    refused.set_exception(WorldError(kind, detail=detail))
            case Responded(request_id):
                response = self._responses.pop(request_id, None)
                if response is not None and not response.done():
                    response.set_result(output)
            case Received(kind, message):
                self._on_received(kind, message)
            case Send():
                raise AssertionError("the link performs sends itself")

    def _on_left(self, leave: lk_rtc.LeaveRequest) -> None:
        if self._is_up and self.is_v1 and leave.action == lk_rtc.LeaveRequest.RESUME:
            self._interrupt("leave RESUME", lk_models.ReconnectReason.RR_SIGNAL_DISCONNECTED)
            return
        self._is_over = True
        self._abandon(WorldError(Reason.REFUSED, detail="the server said goodbye"))
        if self._is_up:
            self._fail_resume(ResumeRefusedError("the server said goodbye"))
            self.observer.on_leave(leave)
        else:
            self._fail_open(refused_join(leave))

    def _on_lost(self, cause: LossCause) -> None:
        if self._is_up and self.is_v1:
            reason = lk_models.ReconnectReason.RR_SIGNAL_DISCONNECTED
            self._interrupt(f"signalling: {cause}", reason)
        elif cause is LossCause.NO_WELCOME:
            self._is_over = True
            self._fail_open(WorldError(Reason.TIMEOUT, retry=True, detail="no welcome"))
        else:
            self.lose(f"signalling: {cause}")

    # --- resuming ----------------------------------------------------------------------------

    def _interrupt(self, cause: str, reason: lk_models.ReconnectReason) -> None:
        """Stop to offer; requests wait, media and data go on as far as they can."""
        if self._is_over:
            return
        self._is_away = True
        if self._offer_timer is not None:
            self._offer_timer.cancel()
            self._offer_timer = None
        error = WorldError(Reason.NO_ROUTE, retry=True, detail=cause)
        # An attempt under way reports it by itself.
        if not self._fail_resume(error):
            log.info("connection interrupted", cause=cause)
            self.observer.on_interrupted(cause, reason)

    def _fail_resume(self, error: WorldError) -> bool:
        """Let a resume under way fail; False when there is none."""
        if self._resuming is None:
            return False
        for future in (self._resuming, self._restored):
            if future is not None and not future.done():
                future.set_exception(error)
                # Only one of them is waited for at a time.
                future.exception()
        return True

    async def resume(
        self,
        target: SignalTarget,
        ticket: ResumeTicket,
        *,
        state: Callable[[], lk_rtc.SyncState],
        timeout_s: float,
    ) -> lk_rtc.ReconnectResponse:
        """Go on over another socket; returns when media has a way that the server confirmed.

        Raises `ResumeRefusedError` when it is of no use to try again, otherwise `WorldError`.
        """
        if self._is_over or not self.is_v1:
            raise ResumeRefusedError("there is nothing to resume")
        loop = asyncio.get_running_loop()
        self._resuming, self._restored = loop.create_future(), loop.create_future()
        try:
            await self._link.reopen(target, ticket)
            reconnect = await self._resuming
            try:
                async with asyncio.timeout(timeout_s):
                    await self._restart(state)
            except TimeoutError as error:
                raise ResumeRefusedError("no way for media") from error
        finally:
            self._resuming, self._restored = None, None
        if self._is_over or self._is_away:
            raise WorldError(Reason.NO_ROUTE, retry=True, detail="lost again")
        self._link.perform(self._link.client.release())
        return reconnect

    async def _restart(self, state: Callable[[], lk_rtc.SyncState]) -> None:
        """Tell the server what we believe, and offer a new ICE generation."""
        negotiator, restored = self._negotiator, self._restored
        assert negotiator is not None
        assert restored is not None
        if restored.done():
            # Lost again in the turn in which the server agreed.
            await restored
        self._is_away = False
        self.send(lk_rtc.SignalRequest(sync_state=state()))
        self._publisher.transport.restart_ice()
        negotiator.restart(self._publisher.local())
        self._negotiate()
        await restored
        await self._settle()

    def drop_signal(self) -> None:
        """Lose the socket on purpose (tests)."""
        self._link.drop()

    def _on_received(self, kind: str, message: Message) -> None:
        try:
            if isinstance(message, lk_rtc.SessionDescription):
                self._on_description(message)
            elif isinstance(message, lk_rtc.TrickleRequest):
                self._on_trickle(message)
            elif isinstance(message, lk_rtc.MediaSectionsRequirement):
                self._on_requirement(message)
            else:
                self.observer.on_signal(kind, message)
        except ProtocolError as error:
            log.warning("message of the server refused", kind=kind, reason=error.reason)
            self.lose(f"protocol: {error.reason}")

    # --- negotiation -------------------------------------------------------------------------

    def _on_description(self, message: lk_rtc.SessionDescription) -> None:
        if message.type == "answer":
            self._on_answer(message)
        elif self._answerer is not None:
            self._on_offer(message, self._answerer)

    def _on_answer(self, answer: lk_rtc.SessionDescription) -> None:
        negotiator = self._negotiator
        if negotiator is None:
            return
        negotiated = negotiator.handle_answer(answer)
        if negotiated is None:
            return
        if self._offer_timer is not None:
            self._offer_timer.cancel()
            self._offer_timer = None
        self._apply(negotiated, self._publisher)
        if negotiator.is_settled:
            settled, self._settled = self._settled, []
            for future in settled:
                if not future.done():
                    future.set_result(None)
        else:
            self._negotiate()

    def _on_offer(self, offer: lk_rtc.SessionDescription, answerer: SubscriberNegotiator) -> None:
        peer = self._subscriber_peer()
        description, negotiated = answerer.handle_offer(offer)
        answer = answerer.answer(description, offer.id, peer.local())
        self.send(lk_rtc.SignalRequest(answer=answer))
        self._apply(negotiated, peer)

    def _apply(self, negotiated: Negotiated, peer: Peer) -> None:
        peer.set_remote(negotiated.remote)
        for track in negotiated.closed:
            self.observer.on_track_closed(track)
        for track in negotiated.opened:
            self.observer.on_track_opened(track, peer.router)
        for parameters in negotiated.uplinks:
            self.observer.on_uplink(parameters, peer.router)

    def _on_trickle(self, trickle: lk_rtc.TrickleRequest) -> None:
        line = parse_trickle(trickle.candidateInit)
        if not line:
            return
        if trickle.target == lk_rtc.SignalTarget.PUBLISHER:
            self._publisher.transport.add_remote_candidate(line)
        else:
            self._subscriber_peer().transport.add_remote_candidate(line)

    def _on_requirement(self, requirement: lk_rtc.MediaSectionsRequirement) -> None:
        if self._negotiator is not None:
            self._negotiator.add_slots(requirement.num_audios, requirement.num_videos)
            self._negotiate()

    def _negotiate_soon(self) -> None:
        """Offer in a moment, so that several changes share one round."""
        if self._negotiation_timer is None and not self._is_over:
            self._negotiation_timer = asyncio.get_running_loop().call_later(
                NEGOTIATION_DELAY_S, self._negotiate
            )

    def _negotiate(self) -> None:
        if self._negotiation_timer is not None:
            self._negotiation_timer.cancel()
            self._negotiation_timer = None
        if self._negotiator is None or self._is_over or self._is_away:
            return
        offer = self._negotiator.next_offer()
        if offer is None:
            return
        self.send(lk_rtc.SignalRequest(offer=offer))
        self._offer_timer = asyncio.get_running_loop().call_later(
            NEGOTIATION_TIMEOUT_S, self.lose, "negotiation: no answer"
        )

    async def _settle(self) -> None:
        """Wait until the server has answered everything that we want."""
        assert self._negotiator is not None
        if self._negotiator.is_settled:
            return
        self._negotiate_soon()
        future = asyncio.get_running_loop().create_future()
        self._settled.append(future)
        await future

    # --- publishing --------------------------------------------------------------------------

    async def publish(self, request: lk_rtc.AddTrackRequest, uplink: Uplink) -> lk_models.TrackInfo:
        """Announce a track, then offer it; returns once the server has answered."""
        self._require_open()
        assert self._negotiator is not None
        future: asyncio.Future[lk_models.TrackInfo] = asyncio.get_running_loop().create_future()
        self._published[uplink.cid] = future
        self._link.perform(self._link.client.add_track(request, time.monotonic()))
        track = await future
        self._require_open()
        self._negotiator.add_uplink(uplink)
        await self._settle()
        return track

    async def unpublish(self, cid: str) -> None:
        """Stop offering a track; returns once the server has answered."""
        self._require_open()
        assert self._negotiator is not None
        self._negotiator.remove_uplink(cid)
        await self._settle()

    def forget_uplink(self, cid: str) -> None:
        """Stop offering a track without waiting."""
        if self._negotiator is not None and not self._is_over:
            self._negotiator.remove_uplink(cid)
            self._negotiate_soon()

    async def update_metadata(self, request: lk_rtc.UpdateParticipantMetadata) -> Responded:
        """Ask for new metadata and wait for the answer."""
        self._require_open()
        number, outputs = self._link.client.update_metadata(request, time.monotonic())
        future: asyncio.Future[Responded] = asyncio.get_running_loop().create_future()
        self._responses[number] = future
        self._link.perform(outputs)
        return await future

    def _require_open(self) -> None:
        if self._is_over or self._negotiator is None:
            raise WorldError(Reason.NO_ROUTE, retry=True, detail="not connected")

    # --- data --------------------------------------------------------------------------------

    def on_channel_open(self, peer: Peer, label: str) -> None:
        """Note a channel; ours are those of the publisher."""
        if peer is not self._publisher:
            return
        self._open_labels.add(label)
        for future in self._label_waiters.pop(label, []):
            if not future.done():
                future.set_result(None)

    def on_channel_data(self, label: str, data: bytes) -> None:
        """Take a message of any channel."""
        self.observer.on_message(label, data)

    async def wait_for_channel(self, label: str) -> None:
        """Wait until data can be sent on a channel."""
        self._require_open()
        if label in self._open_labels:
            return
        future = asyncio.get_running_loop().create_future()
        self._label_waiters.setdefault(label, []).append(future)
        await future

    def is_channel_open(self, label: str) -> bool:
        """Whether data can be sent on a channel now."""
        return not self._is_over and label in self._open_labels

    def buffered_bytes(self, label: str) -> int:
        """Bytes that wait for the network."""
        return self._publisher.transport.buffered_bytes(label)

    async def drain(self, label: str, below_bytes: int) -> None:
        """Wait until at most that many bytes wait for the network."""
        await self._publisher.transport.drain(label, below_bytes)

    def send_message(self, label: str, data: bytes) -> None:
        """Queue a message on an open channel."""
        self._require_open()
        try:
            self._publisher.transport.send_data(label, data)
        except ConnectionError as error:
            raise WorldError(Reason.NO_ROUTE, retry=True, detail=str(error)) from error

    # --- state -------------------------------------------------------------------------------

    @property
    def descriptions(
        self,
    ) -> tuple[lk_rtc.SessionDescription | None, lk_rtc.SessionDescription | None]:
        """The publisher's last offer and its answer."""
        if self._negotiator is None:
            return None, None
        return self._negotiator.last_offer, self._negotiator.last_answer

    def channel_ids(self) -> dict[str, int]:
        """Return the stream ids of the open data channels, by label."""
        return self._publisher.transport.channel_ids()

    def transport_stats(self) -> list[TransportStats]:
        """Return the counters of our transports."""
        peers: Sequence[Peer] = (
            (self._publisher,) if self._subscriber is None else (self._publisher, self._subscriber)
        )
        return [peer.transport.stats for peer in peers]
