"""What a resuming client tells the server that it believes (`SyncState`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from livekit.protocol import rtc as lk_rtc

from app.engine.publications import Publications
from app.engine.track_wishes import TrackWishes


def sync_state(
    *,
    wishes: TrackWishes,
    auto_subscribe: bool,
    publications: Publications,
    receive_states: Iterable[tuple[str, int]],
    channel_ids: Mapping[str, int],
    offer: lk_rtc.SessionDescription | None,
    answer: lk_rtc.SessionDescription | None,
) -> lk_rtc.SyncState:
    """Put the state of a v1 session together; descriptions are the publisher's last ones."""
    state = lk_rtc.SyncState(
        offer=offer,
        answer=answer,
        subscription=lk_rtc.UpdateSubscription(
            track_sids=wishes.deviating(auto_subscribe=auto_subscribe),
            subscribe=not auto_subscribe,
        ),
        track_sids_disabled=wishes.disabled,
    )
    for sid, publication in publications:
        if publication.track.sid != sid:
            # Not answered yet: the server may not know it, and its announcement waits.
            continue
        published = state.publish_tracks.add(cid=publication.request.cid)
        published.track.CopyFrom(publication.track)
        published.track.muted = publication.request.muted
    for label, number in channel_ids.items():
        state.data_channels.add(label=label, id=number, target=lk_rtc.SignalTarget.PUBLISHER)
    for sid, sequence in receive_states:
        state.datachannel_receive_states.add(publisher_sid=sid, last_seq=sequence)
    return state
