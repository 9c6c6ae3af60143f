"""What negotiation tells media about a section: plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class UplinkMedia:
    """A publisher's section as answered. `rids` are ordered from the lowest layer up."""

    mid: str
    kind: str
    codec: str
    payload_type: int
    rtx_payload_type: int | None = None
    clock_rate: int = 90_000
    ssrcs: tuple[int, ...] = ()
    rtx_ssrcs: tuple[int, ...] = ()
    rids: tuple[str, ...] = ()
    extensions: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class DownlinkMapping:
    """A subscriber's ids for one track; equal mappings share their plaintext."""

    payload_type: int
    rtx_payload_type: int | None = None
    extensions: tuple[tuple[str, int], ...] = ()
