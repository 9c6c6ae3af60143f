"""The data tracks of one stay: ours, those of others, and the messages about both.

Owned by the session, because it outlives connections; the room tells it about people and passes
its events on. `data_track.py` has the objects that scripts hold, `data_publications.py` and
`data_subscriptions.py` what stands behind them.
"""

from __future__ import annotations

from collections.abc import Callable

from google.protobuf.message import Message
from livekit.protocol import rtc as lk_rtc

from app.engine.data_publications import DataPublications
from app.engine.data_subscriptions import DataSubscriptions
from app.engine.data_track_sender import DATA_TRACK, Channels, DataTrackSender
from app.runtime.tasks import TaskOwner

__all__ = ["DATA_TRACK", "DataTracks"]


class DataTracks:
    """Everything about data tracks in one session; lives on its loop."""

    def __init__(
        self,
        send: Callable[[lk_rtc.SignalRequest], None],
        channels: Callable[[], Channels | None],
        tasks: TaskOwner,
    ) -> None:
        self.sender = DataTrackSender(channels, tasks)
        self.local = DataPublications(send, self.sender)
        self.remote = DataSubscriptions(send)

    def handle_signal(self, message: Message) -> bool:
        """Take a message of the server; False when it is not about data tracks."""
        match message:
            case lk_rtc.PublishDataTrackResponse():
                self.local.handle_published(message.info)
            case lk_rtc.UnpublishDataTrackResponse():
                self.local.handle_unpublished(message.info)
            case lk_rtc.DataTrackSubscriberHandles():
                self.remote.handle_handles(message.sub_handles)
            case lk_rtc.RequestResponse() if message.HasField("publish_data_track"):
                self.local.handle_refused(message)
            case lk_rtc.RequestResponse() if message.HasField("unpublish_data_track"):
                # It was gone already: nothing is left to do.
                return True
            case _:
                return False
        return True

    def handle_lost(self) -> None:
        """Take the loss of the connection; a full rejoin follows."""
        self.local.handle_lost()
        self.remote.handle_lost()

    def handle_rejoined(self) -> None:
        """Publish and subscribe again under the new participant sid."""
        self.local.republish()
        self.remote.repeat_requests()

    def handle_resumed(self) -> None:
        """Repeat the subscriptions after a resume; what we publish the server still knows."""
        self.remote.repeat_requests()

    def describe(self, state: lk_rtc.SyncState) -> None:
        """Write what a resuming client says about data tracks."""
        state.publish_data_tracks.extend(self.local.sync_info())
        wanted = self.remote.wanted()
        if wanted.updates:
            state.data_subscription.CopyFrom(wanted)

    def close(self) -> None:
        """End every track and every stream."""
        self.local.close()
        self.remote.close()
