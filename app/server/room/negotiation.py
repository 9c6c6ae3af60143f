"""Offers in, answers out: one participant's connection, uplinks and downlinks put together.

Publisher and subscriber say what a section carries, `protocol.answer` writes it down. The
order matters: uplinks first, because a section that stopped sending is a slot again.
"""

from __future__ import annotations

from collections.abc import Callable

from livekit.protocol import rtc

from app.protocol.answer import AnswerPlan, LocalTransport, build_answer
from app.protocol.errors import ProtocolError
from app.protocol.sdp import SessionDescription, parse_sdp
from app.rtc.server_transport import ServerTransport
from app.server.room.identifiers import fresh_ssrc
from app.server.room.publisher import Publisher
from app.server.room.subscriber import Subscriber


class Negotiation:
    """Answers the offers of one participant; lives on the server's loop."""

    def __init__(
        self,
        transport: ServerTransport,
        publisher: Publisher,
        subscriber: Subscriber,
        send: Callable[[rtc.SignalResponse], None],
    ) -> None:
        self._transport = transport
        self._publisher = publisher
        self._subscriber = subscriber
        self._send = send
        self._session_id = str(fresh_ssrc())
        self._session_version = 0
        self._remote_ufrag = ""

    def handle_offer(self, description: rtc.SessionDescription) -> None:
        """Answer an offer; a broken one raises `ProtocolError` and changes nothing."""
        if description.type not in ("", "offer"):
            raise ProtocolError("not an offer")
        offer = parse_sdp(description.sdp)
        self._start_transport(offer)
        uplinks = self._publisher.handle_offer(offer)
        downlinks = self._subscriber.handle_offer(offer)
        self._session_version += 1
        transport = self._transport
        plan = AnswerPlan(
            transport=LocalTransport(
                transport.ufrag, transport.pwd, transport.fingerprint, transport.candidates
            ),
            session_id=self._session_id,
            session_version=self._session_version,
            uplinks=uplinks,
            downlinks=downlinks,
        )
        answer = build_answer(offer, plan)
        self._send(
            rtc.SignalResponse(
                answer=rtc.SessionDescription(
                    type="answer",
                    sdp=answer.to_text(),
                    id=description.id,
                    mid_to_track_id={mid: link.track_sid for mid, link in downlinks.items()},
                )
            )
        )
        self._subscriber.after_answer()

    def _start_transport(self, offer: SessionDescription) -> None:
        if not offer.media:
            raise ProtocolError("offer without sections")
        first = offer.media[0]
        if not first.fingerprints or not first.ice_ufrag or not first.ice_pwd:
            raise ProtocolError("offer without fingerprint or ICE credentials")
        if self._remote_ufrag and first.ice_ufrag != self._remote_ufrag:
            self._transport.restart_ice()
        self._remote_ufrag = first.ice_ufrag
        data = next((media for media in offer.media if media.is_application), None)
        self._transport.set_remote(
            fingerprints=first.fingerprints,
            sctp_port=data.sctp_port if data is not None else None,
            max_message_size=(data.max_message_size or 0) if data is not None else 0,
        )
