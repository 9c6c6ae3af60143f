"""aiortc's SCTP association, made to survive what networks and busy machines do to packets.

aiortc starts the association from both ends at once (RFC 8841 §9.3). It then loses its way when
an INIT is repeated, late or not answered, and crawls when answers take longer than its timer:
both happen when a process does not get to run for a moment. `Association` puts that right and
leaves the rest alone.
"""

from __future__ import annotations

from aiortc import rtcsctptransport
from aiortc.rtcsctptransport import Chunk, InitChunk, RTCSctpTransport

# WORKAROUND for https://github.com/aiortc/aiortc: RFC 4960's timers (1 s minimum, 3 s at
# first) make one lost packet cost a second. dcSCTP in libwebrtc starts at 500 ms and goes
# down to 400 ms. Delete when aiortc makes them configurable, or with our own SCTP core.
rtcsctptransport.SCTP_RTO_INITIAL = 0.5
rtcsctptransport.SCTP_MAX_INIT_RETRANS = 40
rtcsctptransport.SCTP_RTO_MIN = 0.4  # type: ignore[assignment]  # declared as an int by accident

# libwebrtc's bound of the back-off.
LONGEST_RTO_S = 3.0


class Association(RTCSctpTransport):
    """One association over one DTLS transport."""

    # WORKAROUND for https://github.com/aiortc/aiortc: once the peer's INIT is known, aiortc
    # repeats its own INIT under the peer's tag, and the peer drops it: an INIT carries tag 0
    # (RFC 9260 §8.5.1). When both INIT ACKs are lost, both ends repeat themselves in vain until
    # they give up. Delete when aiortc sends INITs with tag 0.
    async def _send_chunk(self, chunk: Chunk) -> None:
        if not isinstance(chunk, InitChunk):
            await super()._send_chunk(chunk)
            return
        tag, self._remote_verification_tag = self._remote_verification_tag, 0
        try:
            await super()._send_chunk(chunk)
        finally:
            self._remote_verification_tag = tag

    # WORKAROUND for https://github.com/aiortc/aiortc: an INIT that repeats what we know sets
    # the receiver back to the peer's first TSN. Every packet after it is then out of order, for
    # ever. RFC 9260 §5.2.2: answer it, and leave the association as it is. Delete when aiortc
    # tells a repeated INIT from a first one.
    async def _receive_chunk(self, chunk: Chunk) -> None:
        tsn = self._last_received_tsn
        is_repeated = (
            isinstance(chunk, InitChunk)
            and tsn is not None
            and chunk.initiate_tag == self._remote_verification_tag
        )
        if not is_repeated:
            await super()._receive_chunk(chunk)
            return
        reconfig_seq, ssthresh = self._reconfig_response_seq, self._ssthresh
        try:
            await super()._receive_chunk(chunk)
        finally:
            self._last_received_tsn = tsn
            self._reconfig_response_seq, self._ssthresh = reconfig_seq, ssthresh

    # WORKAROUND for https://github.com/aiortc/aiortc: the timer does not back off. A round trip
    # longer than it is then never measured, since only a packet that was sent once can be, and
    # everything is sent twice (RFC 9260 §6.3.3 E2). Delete when aiortc backs off.
    def _t3_expired(self) -> None:
        super()._t3_expired()
        self._rto = max(self._rto, min(self._rto * 2, LONGEST_RTO_S))
