"""What guests may send while the host allows less than everything. Sans-IO.

Sharing is a matter of permissions, which clients know. Chat and files are data packets, for
which the wire has no permission of their own: they are told apart by topic and dropped. What is
encrypted end to end cannot be told apart; then the rules are for the apps to keep.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable

from livekit.protocol import models

from app.server.gate.rules import Allow

DOOR_TOPIC = "lanai.door"
CHAT_TOPICS = ("lk.chat", "lk-chat-topic")
FILE_TOPICS = ("lanai.file", "lk.chat")
SHARED_SOURCES = (models.TrackSource.SCREEN_SHARE, models.TrackSource.SCREEN_SHARE_AUDIO)
_OTHER_SOURCES = (models.TrackSource.CAMERA, models.TrackSource.MICROPHONE)
_MAX_STREAMS = 64


def restricted(
    permission: models.ParticipantPermission, allow: Allow
) -> models.ParticipantPermission:
    """Return what is left of a guest's permission."""
    left = models.ParticipantPermission()
    left.CopyFrom(permission)
    if allow.share or not permission.can_publish:
        return left
    sources: Iterable[int] = permission.can_publish_sources or _OTHER_SOURCES
    kept = [source for source in sources if source not in SHARED_SOURCES]
    del left.can_publish_sources[:]
    left.can_publish_sources.extend(kept)  # type: ignore[arg-type]  # enums are ints
    # An empty list would mean every source.
    left.can_publish = bool(kept)
    return left


class GuestFilter:
    """Says of one sender's packets, in their order, which are passed on."""

    def __init__(self, allow: Callable[[], Allow], is_guest: Callable[[], bool]) -> None:
        self._allow = allow
        self._is_guest = is_guest
        self._refused: OrderedDict[str, None] = OrderedDict()

    def passes(self, packet: models.DataPacket) -> bool:
        """Whether this packet goes on; the topic of the door is the server's alone."""
        kind = packet.WhichOneof("value")
        if kind == "user" and packet.user.topic == DOOR_TOPIC:
            return False
        if kind == "stream_chunk":
            return packet.stream_chunk.stream_id not in self._refused
        if kind == "stream_trailer":
            return self._refused.pop(packet.stream_trailer.stream_id, self) is self
        allow = self._allow()
        if (allow.chat and allow.files) or not self._is_guest():
            return True
        if kind == "stream_header" and not _may_open(packet.stream_header, allow):
            self._refused[packet.stream_header.stream_id] = None
            if len(self._refused) > _MAX_STREAMS:
                self._refused.popitem(last=False)
            return False
        if allow.chat:
            return True
        return kind != "chat_message" and not (kind == "user" and packet.user.topic in CHAT_TOPICS)


def _may_open(header: models.DataStream.Header, allow: Allow) -> bool:
    if header.HasField("byte_header"):
        return allow.files or header.topic not in FILE_TOPICS
    return allow.chat or header.topic not in CHAT_TOPICS
