"""One published track: its announcement, the section it arrives in, its media.

A publication starts with AddTrack and has no media yet; `attach` gives it the section of an
offer, after which subscribers can be connected. It is announced to the room when its media is
known to flow (video) or agreed upon (audio, or a track that starts muted).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from livekit.protocol import models, rtc

from app.server.tracks.media import Uptrack

_RID_RANKS = {"q": 0, "h": 1, "f": 2}
# Three layers is what simulcast has; four leave room for one that is announced twice.
MAX_LAYERS = 4
MAX_TEXT_CHARS = 256
KIND_NAMES = {models.TrackType.AUDIO: "audio", models.TrackType.VIDEO: "video"}


@dataclass(eq=False)
class Publication:
    """State of one track; `ssrc` and `rtx_ssrc` are what every subscriber sees."""

    publisher_sid: str
    cid: str
    info: models.TrackInfo
    ssrc: int
    rtx_ssrc: int | None
    mid: str = ""
    uptrack: Uptrack | None = None
    is_announced: bool = False
    had_subscriber: bool = False
    rids: tuple[str, ...] = field(default_factory=tuple)

    @property
    def sid(self) -> str:
        """The track's sid."""
        return self.info.sid

    @property
    def kind(self) -> str:
        """`audio` or `video`, as sections call it."""
        return KIND_NAMES[self.info.type]

    @property
    def stream_id(self) -> str:
        """How subscribers' SDKs find out whose track it is."""
        return f"{self.publisher_sid}|{self.sid}"

    def set_mime_type(self, mime_type: str, mid: str, rids: tuple[str, ...]) -> None:
        """Note what the publisher's section agreed upon."""
        self.mid = self.info.mid = mid
        self.info.mime_type = mime_type
        self.rids = tuple(sorted(rids, key=lambda rid: _RID_RANKS.get(rid, 0)))
        for spatial, layer in enumerate(self.info.layers):
            if spatial < len(self.rids):
                layer.rid = self.rids[spatial]
            layer.spatial_layer = spatial if len(self.rids) > 1 else 0
        self._copy_to_codec()

    def note_live_layers(self, now_us: int) -> None:
        """Write the SSRCs that have been heard into the announcement."""
        if self.uptrack is None:
            return
        for spatial, (ssrc, _rid) in self.uptrack.live_layers.items():
            if spatial < len(self.info.layers):
                self.info.layers[spatial].ssrc = ssrc
        self.info.version.unix_micro = now_us
        self._copy_to_codec()

    def _copy_to_codec(self) -> None:
        codec = self.info.codecs[0]
        codec.mime_type, codec.mid = self.info.mime_type, self.info.mid
        del codec.layers[:]
        codec.layers.extend(self.info.layers)


def new_track_info(request: rtc.AddTrackRequest, sid: str) -> models.TrackInfo:
    """Return the announcement that answers an AddTrack; the media's facts are added later."""
    is_screen = request.source in (
        models.TrackSource.SCREEN_SHARE,
        models.TrackSource.SCREEN_SHARE_AUDIO,
    )
    declared = _known_layers(request.layers)
    if not declared and request.simulcast_codecs:
        declared = _known_layers(request.simulcast_codecs[0].layers)
    info = models.TrackInfo(
        sid=sid,
        type=request.type,
        name=request.name[:MAX_TEXT_CHARS],
        source=_known(models.TrackSource, request.source),
        muted=request.muted,
        width=request.width,
        height=request.height,
        stereo=request.stereo,
        disable_dtx=request.disable_dtx,
        disable_red=request.disable_red,
        encryption=_known(models.Encryption.Type, request.encryption),
        stream=request.stream[:MAX_TEXT_CHARS] or ("screen" if is_screen else "camera"),
        layers=declared,
        audio_features=known_values(models.AudioTrackFeature, request.audio_features),
        backup_codec_policy=_known(models.BackupCodecPolicy, request.backup_codec_policy),
        packet_trailer_features=known_values(
            models.PacketTrailerFeature, request.packet_trailer_features
        ),
    )
    info.simulcast = request.type == models.TrackType.VIDEO and len(info.layers) > 1
    codec = info.codecs.add(
        cid=request.cid,
        video_layer_mode=models.VideoLayer.ONE_SPATIAL_LAYER_PER_STREAM,
        layers=info.layers,
    )
    if request.simulcast_codecs:
        codec.mime_type = f"video/{request.simulcast_codecs[0].codec[:MAX_TEXT_CHARS]}"
    return info


def known_values(enum: Any, numbers: Iterable[int]) -> list[Any]:
    """Return the numbers that the enum has, each once: SDKs abort on others."""
    known = set(enum.values())
    return [number for number in dict.fromkeys(numbers) if number in known]


def _known(enum: Any, number: int) -> Any:
    return number if number in set(enum.values()) else 0


def _known_layers(layers: Iterable[models.VideoLayer]) -> list[models.VideoLayer]:
    known = set(models.VideoQuality.values())
    kept = [
        models.VideoLayer(
            quality=layer.quality,
            width=layer.width,
            height=layer.height,
            bitrate=layer.bitrate,
        )
        for layer in layers
        if layer.quality in known
    ]
    return sorted(kept, key=lambda layer: layer.quality)[:MAX_LAYERS]
