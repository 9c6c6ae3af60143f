"""What a gate tells the people in its room: packets of the server on the topic `lanai.door`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from livekit.protocol import models

from app.server.gate.gate import Gate
from app.server.gate.guests import DOOR_TOPIC
from app.server.gate.lobby import Knock
from app.server.gate.staff import Helper
from app.server.gate.standing import is_of_door

if TYPE_CHECKING:
    from app.server.room.participant import Participant
    from app.server.room.room import Room


def is_told(participant: Participant) -> bool:
    """Whether somebody came by Lanai's door: a plain SDK would only wonder about our packets."""
    return is_of_door(participant.claims)


def admins_of(room: Room) -> list[Participant]:
    """Those who moderate."""
    return [p for p in room.participants.values() if p.claims.video.room_admin]


def knock_facts(knocks: Iterable[Knock], now_s: float) -> list[dict[str, Any]]:
    """What hosts see of those who wait."""
    return [
        {"id": knock.id, "name": knock.name, "waited_ms": int((now_s - knock.since_s) * 1000)}
        for knock in knocks
    ]


def rules_packet(gate: Gate) -> bytes:
    """The rules as they are now."""
    return _packet({"type": "rules", "rules": gate.rules.public()})


def knocks_packet(gate: Gate, now_s: float) -> bytes:
    """Everybody who waits."""
    return _packet({"type": "knocks", "knocks": knock_facts(gate.lobby.waiting, now_s)})


def away_packet(helpers: Iterable[Helper]) -> bytes:
    """Hosts and co-hosts who are not here."""
    people = [{"identity": h.identity, "name": h.name, "role": h.role} for h in helpers]
    return _packet({"type": "away", "people": people})


def _packet(content: Mapping[str, Any]) -> bytes:
    payload = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    return models.DataPacket(
        kind=models.DataPacket.RELIABLE, user=models.UserPacket(payload=payload, topic=DOOR_TOPIC)
    ).SerializeToString()


def send(room: Room, packet: bytes, *, to: Iterable[Participant]) -> None:
    """Send one of them."""
    if not room.is_closed:
        for participant in to:
            participant.send_data("_reliable", packet)
