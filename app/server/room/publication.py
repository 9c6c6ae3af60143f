"""One published track: its announcement, the section it arrives in, its media.

A publication starts with AddTrack and has no media yet; `attach` gives it the section of an
offer, after which subscribers can be connected. It is announced to the room when its media is
known to flow (video) or agreed upon (audio, or a track that starts muted).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from livekit.protocol import models, rtc

from app.server.tracks.media import Uptrack

_RID_RANKS = {"q": 0, "h": 1, "f": 2}
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
    declared = list(request.layers)
    if not declared and request.simulcast_codecs:
        declared = list(request.simulcast_codecs[0].layers)
    declared.sort(key=lambda layer: layer.quality)
    info = models.TrackInfo(
        sid=sid,
        type=request.type,
        name=request.name,
        source=request.source,
        muted=request.muted,
        width=request.width,
        height=request.height,
        stereo=request.stereo,
        disable_dtx=request.disable_dtx,
        disable_red=request.disable_red,
        encryption=request.encryption,
        stream=request.stream or ("screen" if is_screen else "camera"),
        layers=declared,
        audio_features=request.audio_features,
        backup_codec_policy=request.backup_codec_policy,
        packet_trailer_features=request.packet_trailer_features,
    )
    info.simulcast = request.type == models.TrackType.VIDEO and len(info.layers) > 1
    codec = info.codecs.add(
        cid=request.cid,
        video_layer_mode=models.VideoLayer.ONE_SPATIAL_LAYER_PER_STREAM,
        layers=info.layers,
    )
    if request.simulcast_codecs:
        codec.mime_type = f"video/{request.simulcast_codecs[0].codec}"
    return info
