from __future__ import annotations

from livekit.protocol import models as lk_models
from livekit.protocol import rtc as lk_rtc

from app.engine.publications import Publications
from app.engine.session_types import LayerParameters
from app.rtc.rtp_sender import AudioRtpSender, VideoRtpSender


def camera() -> lk_rtc.AddTrackRequest:
    return lk_rtc.AddTrackRequest(type=lk_models.VIDEO, source=lk_models.CAMERA)


def test_what_a_request_leaves_open_is_filled_in() -> None:
    published = Publications()
    sound = published.add(lk_rtc.AddTrackRequest(type=lk_models.AUDIO), "opus", [])
    video = published.add(camera(), "VP8", [LayerParameters("q"), LayerParameters("h")])

    assert isinstance(sound.sender, AudioRtpSender)
    assert sound.request.disable_red
    assert sound.request.cid
    assert isinstance(video.sender, VideoRtpSender)
    assert [layer.rid for layer in video.uplink.layers] == ["q", "h"]
    assert len({layer.ssrc for layer in video.uplink.layers}) == 2
    (codec,) = video.request.simulcast_codecs
    assert (codec.codec, codec.cid) == ("vp8", video.request.cid)


def test_a_single_layer_has_no_rid() -> None:
    video = Publications().add(camera(), "H264", [LayerParameters("f")])

    assert [layer.rid for layer in video.uplink.layers] == [""]


def test_a_track_is_found_under_the_name_that_the_server_gave_it_last() -> None:
    published = Publications()
    video = published.add(camera(), "VP8", [])
    assert published.rename(video.request.cid, lk_models.TrackInfo(sid="TR_1"))
    assert published.rename("TR_1", lk_models.TrackInfo(sid="TR_2"))

    assert published.get("TR_1") is None
    assert published.get("TR_2") is video
    assert video.track.sid == "TR_2"
    assert [sid for sid, _ in published] == ["TR_2"]


def test_a_track_given_up_meanwhile_takes_no_name() -> None:
    published = Publications()
    video = published.add(camera(), "VP8", [])
    assert published.forget(video.request.cid) is video

    assert not published.rename(video.request.cid, lk_models.TrackInfo(sid="TR_1"))
    assert published.forget("TR_1") is None
    assert published.stats() == []
