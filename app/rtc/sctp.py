"""aiortc's SCTP association, made to survive what networks and busy machines do to packets.

aiortc starts the association from both ends at once (RFC 8841 §9.3). It then loses its way when
an INIT is repeated, late or not answered, and crawls when answers take longer than its timer:
both happen when a process does not get to run for a moment. `Association` puts that right and
leaves the rest alone.
"""

from __future__ import annotations

from aiortc import rtcsctptransport
from aiortc.rtcsctptransport import (
    DATA_CHANNEL_OPEN,
    WEBRTC_DCEP,
    Chunk,
    DataChunk,
    InboundStream,
    InitChunk,
    RTCSctpTransport,
    tsn_plus_one,
)
from aiortc.utils import uint32_gt, uint32_gte

# WORKAROUND for https://github.com/aiortc/aiortc: RFC 4960's timers (1 s minimum, 3 s at
# first) make one lost packet cost a second. dcSCTP in libwebrtc starts at 500 ms and goes
# down to 400 ms. Delete when aiortc makes them configurable, or with our own SCTP core.
rtcsctptransport.SCTP_RTO_INITIAL = 0.5
rtcsctptransport.SCTP_MAX_INIT_RETRANS = 40
rtcsctptransport.SCTP_RTO_MIN = 0.4  # type: ignore[assignment]  # declared as an int by accident

# libwebrtc's bound of the back-off.
LONGEST_RTO_S = 3.0

# What a peer may make us keep. An honest one stays within the window that we announce (1 MiB)
# and has three channels; what exceeds these is dropped, as RFC 9260 §6.2 allows.
MAX_OVERDRAWN_BYTES = 1024 * 1024
MAX_GAPPED_CHUNKS = 2_048
MAX_STREAMS = 64
MAX_CHANNELS = 32
MAX_OPEN_BYTES = 1_024


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

    # WORKAROUND for https://github.com/aiortc/aiortc: it keeps whatever comes, far beyond the
    # window that it announces: fragments of a message that never ends, chunks behind gaps that
    # are never filled, channels without number. Delete when aiortc bounds them.
    async def _receive_data_chunk(self, chunk: DataChunk) -> None:
        # What fills a gap has some more room: refusing it would stop an honest peer for ever.
        is_next = chunk.tsn == tsn_plus_one(self._last_received_tsn or 0)
        most = 2 * MAX_GAPPED_CHUNKS if is_next else MAX_GAPPED_CHUNKS
        stream = self._inbound_streams.get(chunk.stream_id)
        kept = len(stream.reassembly) if stream is not None else 0
        is_too_much = (
            self._advertised_rwnd - len(chunk.user_data) < -MAX_OVERDRAWN_BYTES
            or (not is_next and len(self._sack_misordered) >= MAX_GAPPED_CHUNKS)
            or kept >= most
        )
        if is_too_much:
            self._sack_needed = True
            return
        await super()._receive_data_chunk(chunk)

    def _get_inbound_stream(self, stream_id: int) -> InboundStream:
        if stream_id not in self._inbound_streams and len(self._inbound_streams) >= MAX_STREAMS:
            raise ValueError("too many streams")
        return super()._get_inbound_stream(stream_id)

    async def _data_channel_receive(self, stream_id: int, pp_id: int, data: bytes) -> None:
        is_open = pp_id == WEBRTC_DCEP and data[:1] == bytes((DATA_CHANNEL_OPEN,))
        if is_open and (len(self._data_channels) >= MAX_CHANNELS or len(data) > MAX_OPEN_BYTES):
            raise ValueError("too many data channels")
        await super()._data_channel_receive(stream_id, pp_id, data)

    # WORKAROUND for https://github.com/aiortc/aiortc: every chunk sorts all that are behind a
    # gap. Delete when aiortc looks for the next number only.
    def _mark_received(self, tsn: int) -> bool:
        last = self._last_received_tsn
        assert last is not None, "data before INIT"
        gapped = self._sack_misordered
        if uint32_gte(last, tsn) or tsn in gapped:
            self._sack_duplicates.append(tsn)
            return True
        gapped.add(tsn)
        before = last
        while (following := tsn_plus_one(last)) in gapped:
            gapped.discard(following)
            last = following
        if last != before:
            self._last_received_tsn = last
            self._sack_duplicates = [t for t in self._sack_duplicates if uint32_gt(t, last)]
        return False

    # WORKAROUND for https://github.com/aiortc/aiortc: the timer does not back off. A round trip
    # longer than it is then never measured, since only a packet that was sent once can be, and
    # everything is sent twice (RFC 9260 §6.3.3 E2). Delete when aiortc backs off.
    def _t3_expired(self) -> None:
        super()._t3_expired()
        self._rto = max(self._rto, min(self._rto * 2, LONGEST_RTO_S))
