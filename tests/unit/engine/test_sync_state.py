from __future__ import annotations

from livekit.protocol import models as lk_models
from livekit.protocol import rtc as lk_rtc

from app.engine.publications import Publications
from app.engine.sync_state import sync_state
from app.engine.track_wishes import MAX_TRACKS, TrackWishes
from tests.support.vectors import read_vector


def published(sid: str) -> Publications:
    publications = Publications()
    request = lk_rtc.AddTrackRequest(cid="cid", type=lk_models.AUDIO, name="mic")
    publications.add(request, "opus", ())
    if sid:
        publications.rename("cid", lk_models.TrackInfo(sid=sid, name="mic"))
    return publications


def state_of(
    publications: Publications, wishes: TrackWishes | None = None, *, auto: bool = True
) -> lk_rtc.SyncState:
    return sync_state(
        wishes=wishes or TrackWishes(),
        auto_subscribe=auto,
        publications=publications,
        receive_states=[("PA_bob", 41)],
        channel_ids={"_reliable": 1, "_lossy": 3},
        offer=lk_rtc.SessionDescription(type="offer", sdp="o"),
        answer=None,
    )


def test_the_state_has_the_form_that_the_python_sdk_sends() -> None:
    recorded = next(
        lk_rtc.SignalRequest.FromString(record.raw).sync_state
        for record in read_vector("python_v1_resume.jsonl")
        if record.type == "sync_state"
    )
    ours = state_of(published("TR_1"))
    assert {field.name for field, _ in recorded.ListFields()} <= {
        *(field.name for field, _ in ours.ListFields()),
        "answer",
    }
    assert [track.cid for track in ours.publish_tracks] == ["cid"]
    assert ours.publish_tracks[0].track.sid == "TR_1"
    assert ours.subscription.subscribe == recorded.subscription.subscribe
    assert {channel.target for channel in ours.data_channels} == {
        channel.target for channel in recorded.data_channels
    }
    assert [(s.publisher_sid, s.last_seq) for s in ours.datachannel_receive_states] == [
        ("PA_bob", 41)
    ]


def test_a_track_without_an_answer_is_not_claimed() -> None:
    assert not state_of(published("")).publish_tracks


def test_a_track_muted_meanwhile_is_named_as_muted() -> None:
    publications = published("TR_1")
    publication = publications.get("TR_1")
    assert publication is not None
    publication.request.muted = True
    assert state_of(publications).publish_tracks[0].track.muted
    assert not publication.track.muted


def test_only_wishes_that_deviate_from_the_rule_are_repeated() -> None:
    wishes = TrackWishes()
    wishes.note_subscribed(["TR_a", "TR_b"], subscribed=True)
    wishes.note_subscribed(["TR_b", "TR_c"], subscribed=False)
    wishes.note_disabled(["TR_a", "TR_d"], disabled=True)
    wishes.note_disabled(["TR_a"], disabled=False)

    everything = state_of(Publications(), wishes, auto=True)
    assert list(everything.subscription.track_sids) == ["TR_b", "TR_c"]
    assert not everything.subscription.subscribe
    assert list(everything.track_sids_disabled) == ["TR_d"]
    nothing = state_of(Publications(), wishes, auto=False)
    assert list(nothing.subscription.track_sids) == ["TR_a"]
    assert nothing.subscription.subscribe


def test_wishes_are_bounded_and_a_new_session_has_none() -> None:
    wishes = TrackWishes()
    wishes.note_disabled((f"TR_{number}" for number in range(MAX_TRACKS + 10)), disabled=True)
    assert len(wishes.disabled) == MAX_TRACKS
    assert wishes.disabled[-1] == f"TR_{MAX_TRACKS + 9}"
    wishes.restart()
    assert wishes.disabled == []
