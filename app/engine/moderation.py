"""What a host does for the others, and what everybody says about himself beside words.

Muting, stopping and removing are LiveKit's server API with one's own token; rules, lobby and
roles are the host's door. Both are asked for, never assumed: what came of it arrives as events,
as it does for everybody else. Hands and status are attributes, reactions are lossy packets.
Belongs to the engine thread.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping

import structlog
from livekit.protocol import models as lk_models

from app.engine import rtc
from app.engine.enums import TrackSource
from app.engine.events import (
    Event,
    HelpersAwayChanged,
    Knock,
    KnockArrived,
    KnocksChanged,
    MutedByHost,
    ReactionReceived,
    Role,
    RoomRules,
    RoomRulesChanged,
)
from app.engine.host_door import HostDoor, read_door_packet
from app.engine.local_participant import PublishDataError
from app.engine.people import HAND_ATTRIBUTE, ROLE_ATTRIBUTE, STATUS_ATTRIBUTE, status_of
from app.engine.server_api import call_room_service, end_room
from app.protocol.errors import ProtocolError
from app.runtime.budget import Budget
from app.runtime.errors import Reason, WorldError

log = structlog.get_logger(__name__)

DOOR_TOPIC = "lanai.door"
REACTION_TOPIC = "lanai.reaction"
# One glyph may be many code points: families, flags, skin tones.
MAX_EMOJI_CHARS = 16
# Reactions that one person can make appear here, each second and at once.
_REACTION_RATE, _REACTION_BURST = 5.0, 15.0
_MICROPHONES = (TrackSource.SOURCE_MICROPHONE, TrackSource.SOURCE_UNKNOWN)
_CAMERAS = (TrackSource.SOURCE_CAMERA, TrackSource.SOURCE_UNKNOWN)
_SHARES = (TrackSource.SOURCE_SCREENSHARE, TrackSource.SOURCE_SCREENSHARE_AUDIO)


class Moderation:
    """Of one meeting. `url` is where it is reached, known once it was joined."""

    def __init__(
        self,
        room: rtc.Room,
        *,
        url: Callable[[], str],
        post: Callable[[Event], None],
        name_of: Callable[[str], str],
    ) -> None:
        self._room = room
        self._url = url
        self._post_event = post
        self._name_of = name_of
        self._is_on = False
        self._rules: RoomRules | None = None
        self._knocks: tuple[Knock, ...] = ()
        self._away = HelpersAwayChanged(())
        self._reactions: dict[str, Budget] = {}

    def begin(self) -> None:
        """The meeting was announced: what has come before is told now."""
        self._is_on = True
        if self._rules is not None:
            self._post(RoomRulesChanged(self._rules))
        if self._knocks:
            knocks, self._knocks = self._knocks, ()
            self._take_knocks(knocks)
        if self._away.helpers:
            self._post(self._away)

    # --- what a host does for the others

    async def mute(self, identity: str) -> None:
        """Mute somebody's microphone."""
        await self._mute(identity, rtc.TrackKind.KIND_AUDIO, _MICROPHONES)

    async def mute_everybody(self) -> None:
        """Mute every microphone but one's own, and those of hosts and agents."""
        spared = (str(Role.HOST), str(Role.COHOST))
        for participant in list(self._room.remote_participants.values()):
            is_agent = participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
            role = participant.attributes.get(ROLE_ATTRIBUTE) if self._room.keeps_roles else ""
            if is_agent or role in spared:
                continue
            try:
                await self.mute(participant.identity)
            except WorldError as error:
                # Somebody may leave meanwhile; a refusal is the same for all of them.
                if error.reason is not Reason.NOT_FOUND:
                    raise

    async def stop_video(self, identity: str) -> None:
        """Turn somebody's camera off."""
        await self._mute(identity, rtc.TrackKind.KIND_VIDEO, _CAMERAS)

    async def stop_share(self, identity: str) -> None:
        """Stop what somebody shares, sound included."""
        await self._mute(identity, None, _SHARES)

    async def remove(self, identity: str) -> None:
        """Send somebody away."""
        await self._call("RemoveParticipant", {"identity": identity})

    async def end_for_all(self) -> None:
        """End the meeting for everybody."""
        await end_room(self._url(), self._token, self._room.name)

    async def set_role(self, identity: str, role: Role) -> None:
        """Make somebody host, co-host or guest."""
        await self._door.set_role(self._token, identity, role)

    async def change_rules(self, changes: Mapping[str, object]) -> None:
        """Change the room's rules."""
        await self._door.change_rules(self._token, changes)

    async def answer_knock(self, knock_id: str, *, admit: bool) -> None:
        """Let somebody in, or not."""
        await self._door.answer_knock(self._token, knock_id, admit=admit)

    async def answer_all_knocks(self, *, admit: bool) -> None:
        """The same for everybody who waits."""
        await self._door.answer_all(self._token, admit=admit)

    async def lower_hand(self, identity: str) -> None:
        """Take somebody's hand down."""
        await self._call(
            "UpdateParticipant", {"identity": identity, "attributes": {HAND_ATTRIBUTE: ""}}
        )

    async def rename(self, identity: str, name: str) -> None:
        """Give somebody another name in this meeting."""
        await self._call("UpdateParticipant", {"identity": identity, "name": name})

    # --- what everybody says about himself

    async def set_hand(self, up: bool) -> None:
        """Raise one's hand or take it down."""
        at_ms = str(time.time_ns() // 1_000_000) if up else ""
        await self._room.local_participant.set_attributes({HAND_ATTRIBUTE: at_ms})

    async def set_status(self, text: str) -> None:
        """Say a few words about oneself, or none."""
        await self._room.local_participant.set_attributes({STATUS_ATTRIBUTE: status_of(text)})

    async def send_reaction(self, emoji: str) -> None:
        """React; one's own reaction is shown at once."""
        emoji = emoji[:MAX_EMOJI_CHARS]
        me = self._room.local_participant
        if not me.may_publish_data:
            raise WorldError(Reason.DENIED, detail="no permission to publish data")
        self._post(ReactionReceived(me.identity, self._name_of(me.identity), emoji, is_mine=True))
        payload = json.dumps({"emoji": emoji}, ensure_ascii=False).encode()
        try:
            await me.publish_data(payload, reliable=False, topic=REACTION_TOPIC)
        except PublishDataError as error:
            raise WorldError(Reason.PEER_GONE, retry=True, detail=str(error)) from error

    # --- what arrives

    def handle_data(self, packet: lk_models.DataPacket) -> None:
        """Take what concerns us of the room's packets."""
        if packet.WhichOneof("value") != "user":
            return
        topic = packet.user.topic
        try:
            if topic == DOOR_TOPIC and not packet.participant_sid:
                # Only the server itself sends without a sid.
                self._take_door_packet(packet.user.payload)
            elif topic == REACTION_TOPIC:
                self._take_reaction(packet)
        except ProtocolError as error:
            log.info("packet dropped", reason=error.reason)

    def handle_mute_request(self, track_sid: str) -> None:
        """A host muted one of our tracks."""
        publication = self._room.local_participant.track_publications.get(track_sid)
        if publication is None:
            return
        source, is_audio = publication.source, publication.kind == rtc.TrackKind.KIND_AUDIO
        self._post(
            MutedByHost(
                microphone=is_audio and source in _MICROPHONES,
                camera=not is_audio and source in _CAMERAS,
                share=source in _SHARES,
            )
        )

    def handle_role(self, role: Role) -> None:
        """Our own role is this now: guests look after nobody."""
        if role is Role.GUEST and self._knocks:
            self._take_knocks(())
        if role is Role.GUEST and self._away.helpers:
            self._take_away(HelpersAwayChanged(()))

    def forget(self, identity: str) -> None:
        """Somebody left."""
        self._reactions.pop(identity, None)

    # --- inside

    def _take_door_packet(self, payload: bytes) -> None:
        told = read_door_packet(payload, now_ms=time.time_ns() // 1_000_000)
        if isinstance(told, RoomRules):
            if self._rules is None or told.version > self._rules.version:
                self._rules = told
                self._post(RoomRulesChanged(told))
        elif isinstance(told, HelpersAwayChanged):
            self._take_away(told)
        elif told is not None:
            self._take_knocks(told)

    def _take_away(self, told: HelpersAwayChanged) -> None:
        self._away = told
        self._post(told)

    def _take_knocks(self, knocks: tuple[Knock, ...]) -> None:
        known = {knock.id for knock in self._knocks}
        # Waiting times are measured anew in every packet; what was first said stays.
        before = {knock.id: knock for knock in self._knocks}
        self._knocks = tuple(before.get(knock.id, knock) for knock in knocks)
        self._post(KnocksChanged(self._knocks))
        for knock in self._knocks:
            if knock.id not in known:
                self._post(KnockArrived(knock))

    def _take_reaction(self, packet: lk_models.DataPacket) -> None:
        identity = packet.participant_identity
        if identity not in self._room.remote_participants:
            return
        budget = self._reactions.setdefault(
            identity, Budget(rate=_REACTION_RATE, burst=_REACTION_BURST)
        )
        emoji = read_reaction(packet.user.payload)
        if budget.allow(time.monotonic()):
            self._post(ReactionReceived(identity, self._name_of(identity), emoji))

    def _post(self, event: Event) -> None:
        if self._is_on:
            self._post_event(event)

    @property
    def _token(self) -> str:
        session = self._room.session
        return session.token if session is not None else ""

    @property
    def _door(self) -> HostDoor:
        return HostDoor(self._url(), self._room.name)

    async def _mute(self, identity: str, kind: int | None, sources: tuple[int, ...]) -> None:
        participant = self._room.remote_participants.get(identity)
        if participant is None:
            raise WorldError(Reason.NOT_FOUND, detail="not in the meeting")
        for publication in list(participant.track_publications.values()):
            is_meant = publication.source in sources and kind in (None, publication.kind)
            if is_meant and not publication.muted:
                wish = {"identity": identity, "track_sid": publication.sid, "muted": True}
                await self._call("MutePublishedTrack", wish)

    async def _call(self, method: str, request: Mapping[str, object]) -> None:
        await call_room_service(
            self._url(), self._token, method, {"room": self._room.name, **request}
        )


def read_reaction(payload: bytes) -> str:
    """Return the emoji of a reaction; `ProtocolError` when it is none."""
    try:
        content = json.loads(payload)
    except (ValueError, RecursionError):
        raise ProtocolError("reaction: no JSON") from None
    emoji = content.get("emoji") if isinstance(content, Mapping) else None
    if not isinstance(emoji, str) or not 0 < len(emoji) <= MAX_EMOJI_CHARS:
        raise ProtocolError("reaction: no emoji")
    if emoji.isascii() or any(char.isspace() for char in emoji):
        raise ProtocolError("reaction: a text")
    return emoji
