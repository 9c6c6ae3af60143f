"""The tracks that a session publishes, from one connection to the next.

A publication keeps its request, its streams and its sender; what changes with every join is the
track sid. Until the server has given one, the publication stands under its cid.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from livekit.protocol import models as lk_models
from livekit.protocol import rtc as lk_rtc

from app.engine.media_sections import Uplink, UplinkLayer, UplinkParameters
from app.engine.session_types import LayerParameters
from app.rtc.media_router import MediaRouter
from app.rtc.rtp_sender import AudioRtpSender, SenderBinding, VideoRtpSender
from app.rtc.stats import SenderStats

Sender = AudioRtpSender | VideoRtpSender


@dataclass
class Publication:
    """A published track, as it is announced again after a rejoin."""

    request: lk_rtc.AddTrackRequest
    uplink: Uplink
    sender: Sender
    track: lk_models.TrackInfo = field(default_factory=lk_models.TrackInfo)


class Publications:
    """What is published, by track sid."""

    def __init__(self) -> None:
        self._by_sid: dict[str, Publication] = {}

    def __iter__(self) -> Iterator[tuple[str, Publication]]:
        return iter(list(self._by_sid.items()))

    def __contains__(self, sid: str) -> bool:
        return sid in self._by_sid

    def get(self, sid: str) -> Publication | None:
        """Return the publication with this sid."""
        return self._by_sid.get(sid)

    def add(
        self, request: lk_rtc.AddTrackRequest, codec: str, layers: Sequence[LayerParameters]
    ) -> Publication:
        """Prepare a track to be announced; what the request leaves open is filled in."""
        request.cid = request.cid or f"LN_{secrets.token_hex(8)}"
        if request.type == lk_models.TrackType.AUDIO:
            # What we send is Opus alone.
            request.disable_red = True
        elif not request.simulcast_codecs:
            request.simulcast_codecs.add(codec=codec.lower(), cid=request.cid)
        uplink = _new_uplink(request, codec, layers)
        publication = self._by_sid[request.cid] = Publication(request, uplink, _new_sender(uplink))
        return publication

    def rename(self, old_sid: str, track: lk_models.TrackInfo) -> bool:
        """Take the server's name of a track; False when it was given up meanwhile."""
        publication = self._by_sid.pop(old_sid, None)
        if publication is None:
            return False
        publication.track = track
        self._by_sid[track.sid] = publication
        return True

    def forget(self, sid: str) -> Publication | None:
        """Stop sending a track for good; return what it was."""
        publication = self._by_sid.pop(sid, None)
        if publication is not None:
            publication.sender.close()
        return publication

    def bind(self, parameters: UplinkParameters, router: MediaRouter) -> None:
        """Let a track send under the numbers that the server accepted."""
        binding = SenderBinding(
            parameters.mid,
            parameters.payload_type,
            parameters.rtx_payload_type,
            parameters.extensions,
        )
        for publication in self._by_sid.values():
            if publication.uplink.cid == parameters.cid:
                publication.sender.bind(router, binding)

    def unbind(self) -> None:
        """Let every track wait for the next connection."""
        for publication in self._by_sid.values():
            publication.sender.unbind()

    def close(self) -> None:
        """Stop sending everything, for good."""
        for publication in self._by_sid.values():
            publication.sender.close()

    def stats(self) -> list[SenderStats]:
        """Return the counters of every stream."""
        found: list[SenderStats] = []
        for publication in self._by_sid.values():
            stats = publication.sender.stats
            found += stats if isinstance(stats, list) else [stats]
        return found


def _new_uplink(
    request: lk_rtc.AddTrackRequest, codec: str, layers: Sequence[LayerParameters]
) -> Uplink:
    is_audio = request.type == lk_models.TrackType.AUDIO
    rids = [layer.rid for layer in layers] if len(layers) > 1 else [""]
    return Uplink(
        cid=request.cid,
        kind="audio" if is_audio else "video",
        codec=codec,
        layers=tuple(UplinkLayer(rid, _new_ssrc(), _new_ssrc()) for rid in rids),
        stereo=request.stereo,
        dtx=is_audio and not request.disable_dtx,
    )


def _new_sender(uplink: Uplink) -> Sender:
    if uplink.kind == "audio":
        return AudioRtpSender(uplink.layers[0].ssrc)
    return VideoRtpSender(
        uplink.codec, [(layer.rid, layer.ssrc, layer.rtx_ssrc) for layer in uplink.layers]
    )


def _new_ssrc() -> int:
    return secrets.randbelow(0xFFFFFFFE) + 1
