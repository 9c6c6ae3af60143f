from __future__ import annotations

from livekit.protocol import rtc

from app.server.room.sync_state import knows_published, named_tracks
from tests.support.vectors import read_vector


def test_a_client_that_publishes_what_is_here_may_go_on() -> None:
    state = rtc.SyncState()
    assert knows_published(state, tracks=(), data_tracks=())
    state.publish_tracks.add(cid="c").track.sid = "TR_1"
    assert knows_published(state, tracks={"TR_1", "TR_2"}, data_tracks=())
    assert not knows_published(state, tracks={"TR_2"}, data_tracks=())
    state.publish_tracks.add(cid="without a track")
    assert not knows_published(state, tracks={"TR_1"}, data_tracks=())


def test_a_data_track_that_is_not_here_has_to_be_published_anew() -> None:
    state = rtc.SyncState()
    state.publish_data_tracks.add().info.sid = "DTR_1"
    assert not knows_published(state, tracks=(), data_tracks=())
    assert knows_published(state, tracks=(), data_tracks={"DTR_1"})


def test_a_subscription_names_its_tracks_in_two_lists() -> None:
    update = rtc.UpdateSubscription(track_sids=["TR_1"])
    update.participant_tracks.add(participant_sid="PA_1", track_sids=["TR_2", "TR_1"])
    assert named_tracks(update) == {"TR_1", "TR_2"}


def test_the_state_that_the_python_sdk_sends_is_that_of_its_published_tracks() -> None:
    state = next(
        rtc.SignalRequest.FromString(record.raw).sync_state
        for record in read_vector("python_v1_resume.jsonl")
        if record.type == "sync_state"
    )
    sids = {published.track.sid for published in state.publish_tracks}
    assert sids
    assert knows_published(state, tracks=sids, data_tracks=())
    assert not knows_published(state, tracks=(), data_tracks=())
