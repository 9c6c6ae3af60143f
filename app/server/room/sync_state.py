"""What a resuming client says it believes, held against what is so. Sans-IO.

The session has lived on, so most of a `SyncState` is known better here: descriptions, channels
and receive states serve servers that rebuild a session elsewhere. What counts is whether the
published tracks exist, and what the client wanted of others' tracks while nobody heard it.
"""

from __future__ import annotations

from collections.abc import Collection

from livekit.protocol import rtc

# Beyond what a room has; the list comes from outside.
MAX_TRACKS = 1_000


def knows_published(
    state: rtc.SyncState, *, tracks: Collection[str], data_tracks: Collection[str]
) -> bool:
    """Whether everything that the client thinks it publishes is there.

    If not, its media goes nowhere and nobody would tell it: it has to publish anew.
    """
    named = (published.track.sid for published in state.publish_tracks)
    named_data = (published.info.sid for published in state.publish_data_tracks)
    return all(sid in tracks for sid in named) and all(sid in data_tracks for sid in named_data)


def named_tracks(update: rtc.UpdateSubscription) -> set[str]:
    """Return the tracks of a subscription request, from both of its lists."""
    sids = set(update.track_sids)
    for tracks in update.participant_tracks:
        sids.update(tracks.track_sids)
    return sids
