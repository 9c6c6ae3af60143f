"""One subscriber's offsets: what it sees goes on by one when the source jumps.

A layer switch lands on another stream with other numbers. The offsets found at the switch
hold until the next one; the spans of the past are kept, so that a resend of an old packet
is numbered as it was then.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.protocol.rtp.wrap import ts_delta

_MAX_SPANS = 8


@dataclass(frozen=True, slots=True)
class Place:
    """Where a stream stands: the newest packet's numbers, before or after offsets.

    `picture_id` and `tl0` are -1 where the codec or the sender has none.
    """

    ext_seq: int
    ts_rtp: int
    picture_id: int = -1
    tl0: int = -1


@dataclass(frozen=True, slots=True)
class Offsets:
    """Added to a layer's numbers they give the subscriber's."""

    seq: int = 0
    ts_rtp: int = 0
    picture_id: int = 0
    tl0: int = 0

    @property
    def are_zero(self) -> bool:
        """Whether the layer's plaintext can be sent as it is."""
        return not (
            self.seq & 0xFFFF
            or self.ts_rtp & 0xFFFFFFFF
            or self.picture_id & 0x7FFF
            or self.tl0 & 0xFF
        )

    def apply(self, place: Place) -> Place:
        """Return the subscriber's view of a layer's place."""
        return Place(
            place.ext_seq + self.seq,
            place.ts_rtp + self.ts_rtp & 0xFFFFFFFF,
            place.picture_id + self.picture_id & 0x7FFF if place.picture_id >= 0 else -1,
            place.tl0 + self.tl0 & 0xFF if place.tl0 >= 0 else -1,
        )


def offsets_after(last: Place | None, first: Place, ts_rtp: int | None) -> Offsets:
    """Return the offsets with which `first` follows `last`.

    `ts_rtp` is the time at which `first` belongs in the subscriber's stream, if it is known;
    it is moved past `last` when it lies before it.
    """
    if last is None:
        return Offsets()
    wanted_ts = first.ts_rtp if ts_rtp is None else ts_rtp
    if ts_delta(wanted_ts, last.ts_rtp) <= 0:
        wanted_ts = last.ts_rtp + 1
    has_picture = last.picture_id >= 0 and first.picture_id >= 0
    has_tl0 = last.tl0 >= 0 and first.tl0 >= 0
    return Offsets(
        seq=last.ext_seq + 1 - first.ext_seq,
        ts_rtp=wanted_ts - first.ts_rtp,
        picture_id=last.picture_id + 1 - first.picture_id if has_picture else 0,
        tl0=last.tl0 + 1 - first.tl0 if has_tl0 else 0,
    )


class Spans:
    """Which source and offsets were in force from which outgoing number on."""

    __slots__ = ("_spans",)

    def __init__(self) -> None:
        self._spans: list[tuple[int, object, Offsets]] = []

    def start(self, ext_seq_out: int, source: object, offsets: Offsets) -> None:
        """Note that from this outgoing number on `source` is sent with `offsets`."""
        self._spans.append((ext_seq_out, source, offsets))
        if len(self._spans) > _MAX_SPANS:
            del self._spans[0]

    def find(self, ext_seq_out: int) -> tuple[object, Offsets] | None:
        """Return source and offsets of an outgoing number, or None when it is too old."""
        for start, source, offsets in reversed(self._spans):
            if ext_seq_out >= start:
                return source, offsets
        return None


def mapped_timestamp(
    ts_rtp: int,
    clock_rate: int,
    source: tuple[int, int] | None,
    reference: tuple[int, int] | None,
) -> int | None:
    """Return the reference layer's timestamp for the moment that `ts_rtp` names.

    `source` and `reference` are (NTP, RTP) of the two layers' newest sender reports; None
    when either is missing.
    """
    if source is None or reference is None:
        return None
    elapsed_ntp = source[0] - reference[0]
    elapsed = (elapsed_ntp * clock_rate + (1 << 31)) >> 32
    return (reference[1] + elapsed + ts_delta(ts_rtp, source[1])) & 0xFFFFFFFF
