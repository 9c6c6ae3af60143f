"""What a change of rights writes into the next token, and what rooms are made with."""

from __future__ import annotations

import pytest
from livekit.protocol import models
from livekit.protocol import room as messages

from app.protocol.errors import ProtocolError
from app.protocol.token import Claims, VideoGrant
from app.server.config import ServerConfig
from app.server.room.configuration import from_claims, from_request, with_defaults
from app.server.room.first_info import permission_of
from app.server.room.moderation import with_permission

CONFIG = ServerConfig(keys={"k": "s"}, max_participants=7)


def test_a_permission_replaces_the_whole_set_and_keeps_the_kind() -> None:
    claims = Claims(
        identity="ada",
        video=VideoGrant(room_join=True, room="r", agent=True, can_update_own_metadata=True),
        raw={"video": {"room": "r", "hidden": True}, "kindDetails": ["cloud_agent"], "sub": "ada"},
    )
    permission = models.ParticipantPermission(
        can_publish=True,
        can_publish_sources=[models.TrackSource.SCREEN_SHARE, 77],  # type: ignore[list-item]
    )
    changed = with_permission(claims, permission)
    assert changed.raw["video"] == {
        "roomJoin": True,
        "room": "r",
        "agent": True,
        "canPublish": True,
        "canSubscribe": False,
        "canPublishData": False,
        "canPublishSources": ["screen_share"],
    }
    assert changed.raw["kindDetails"] == ["cloud_agent"]
    told = permission_of(changed.video)
    assert told.can_publish
    assert told.agent
    assert not told.can_update_metadata
    assert not told.can_publish_data
    assert list(told.can_publish_sources) == [models.TrackSource.SCREEN_SHARE]


def test_a_room_takes_the_requests_numbers_and_the_servers_for_the_rest() -> None:
    request = messages.CreateRoomRequest(name="r", empty_timeout=5, metadata="m")
    filled = with_defaults("r", from_request(request), CONFIG)
    assert (filled.empty_timeout, filled.departure_timeout) == (5, 20)
    assert (filled.max_participants, filled.metadata) == (7, "m")
    with pytest.raises(ProtocolError):
        from_request(messages.CreateRoomRequest(name="r", room_preset="none"))


def test_a_token_may_bring_the_rooms_configuration() -> None:
    claims = Claims(
        identity="a",
        room_config={"maxParticipants": 3, "agents": [{"agentName": "helper"}], "nonsense": 1},
    )
    configuration = from_claims(claims)
    assert configuration.max_participants == 3
    assert [agent.agent_name for agent in configuration.agents] == ["helper"]


@pytest.mark.parametrize(
    "claims",
    [
        Claims(identity="a", room_config={"maxParticipants": "many"}),
        Claims(identity="a", room_config={"agents": 5}),
        Claims(identity="a", raw={"roomPreset": "none"}),
    ],
)
def test_a_broken_configuration_is_an_error(claims: Claims) -> None:
    with pytest.raises(ProtocolError):
        from_claims(claims)
