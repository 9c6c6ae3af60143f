"""Announcements: what AddTrack asked for, then what the media turned out to be."""

from __future__ import annotations

from livekit.protocol import models, rtc

from app.server.room.publication import Publication, new_track_info
from app.server.room.publisher import source_is_allowed
from app.server.room.subscriber import quality_for
from tests.support.vectors import read_vector

QUALITIES = [models.VideoQuality.LOW, models.VideoQuality.MEDIUM, models.VideoQuality.HIGH]


def layer(quality: int, width: int) -> models.VideoLayer:
    return models.VideoLayer(
        quality=QUALITIES[quality], width=width, height=width * 9 // 16, bitrate=width * 1000
    )


def camera(*layers: models.VideoLayer, **fields: object) -> rtc.AddTrackRequest:
    return rtc.AddTrackRequest(
        cid="c1",
        name="cam",
        type=models.TrackType.VIDEO,
        source=models.TrackSource.CAMERA,
        width=1280,
        height=720,
        layers=layers,
        **fields,  # type: ignore[arg-type]
    )


def publication(request: rtc.AddTrackRequest) -> Publication:
    return Publication("PA_a", request.cid, new_track_info(request, "TR_VC1"), 10, 11)


def test_the_announcement_is_the_one_the_reference_gave() -> None:
    records = read_vector("python_v1_publish_subscribe.alice.jsonl")
    requests = [rtc.SignalRequest.FromString(r.raw) for r in records if r.type == "add_track"]
    replies = [rtc.SignalResponse.FromString(r.raw) for r in records if r.type == "track_published"]
    assert len(requests) == len(replies) == 3
    for request, reply in zip(requests, replies, strict=True):
        theirs = reply.track_published.track
        ours = new_track_info(request.add_track, theirs.sid)
        for track in (ours, theirs):
            track.ClearField("backup_codec_policy")
        assert ours == theirs


def test_layers_are_named_by_rank_whatever_their_order() -> None:
    track = publication(camera(layer(2, 1280), layer(0, 320), layer(1, 640)))
    track.set_mime_type("video/VP8", "8", ("f", "q", "h"))
    assert [(x.width, x.rid, x.spatial_layer) for x in track.info.layers] == [
        (320, "q", 0),
        (640, "h", 1),
        (1280, "f", 2),
    ]
    assert (track.info.mid, track.info.codecs[0].mid) == ("8", "8")
    assert list(track.info.codecs[0].layers) == list(track.info.layers)
    assert track.stream_id == "PA_a|TR_VC1"


def test_a_single_layer_has_no_rank() -> None:
    track = publication(camera(layer(2, 1280)))
    track.set_mime_type("video/H264", "8", ())
    assert not track.info.simulcast
    assert [(x.rid, x.spatial_layer) for x in track.info.layers] == [("", 0)]


def test_the_smallest_layer_that_fills_the_tile_is_enough() -> None:
    info = new_track_info(camera(layer(0, 320), layer(1, 640), layer(2, 1280)), "TR_1")
    assert quality_for(info, 100, 50) == models.VideoQuality.LOW
    assert quality_for(info, 320, 181) == models.VideoQuality.MEDIUM
    assert quality_for(info, 1920, 1080) == models.VideoQuality.HIGH


def test_sources_can_be_limited() -> None:
    sources, audio, video = models.TrackSource, models.TrackType.AUDIO, models.TrackType.VIDEO
    permission = models.ParticipantPermission(can_publish=True)
    assert source_is_allowed(permission, video, sources.CAMERA)
    permission.can_publish_sources.append(sources.MICROPHONE)
    assert not source_is_allowed(permission, video, sources.CAMERA)
    assert source_is_allowed(permission, audio, sources.MICROPHONE)
    assert not source_is_allowed(permission, video, sources.MICROPHONE)
    permission.can_publish = False
    assert not source_is_allowed(permission, audio, sources.MICROPHONE)


def test_numbers_and_lengths_that_other_clients_do_not_know_are_not_passed_on() -> None:
    request = camera(*[layer(quality % 3, 320) for quality in range(40)])
    request.source, request.encryption = 99, 77  # type: ignore[assignment]  # as on the wire
    request.audio_features.extend([3, 3, 500])  # type: ignore[list-item]
    request.layers[0].quality = 42  # type: ignore[assignment]
    request.name = "x" * 100_000

    info = new_track_info(request, "TR_1")

    assert info.source == models.TrackSource.UNKNOWN
    assert info.encryption == models.Encryption.NONE
    assert list(info.audio_features) == [3]
    assert len(info.layers) == 4
    assert all(known.quality in models.VideoQuality.values() for known in info.layers)
    assert len(info.name) == 256
