"""Small decisions of a room: whose metadata, whose tracks, which layer."""

from __future__ import annotations

import pytest
from livekit.protocol import models, rtc

from app.protocol.token import Claims, VideoGrant
from app.server.room.early_data import EARLY_DATA_BYTES, EarlyData
from app.server.room.first_info import first_info
from app.server.room.metadata import (
    MetadataRefusal,
    apply_update,
    check_update,
    without_reserved,
)
from app.server.room.permissions import SubscriptionRules

UPDATE = rtc.UpdateParticipantMetadata


def person() -> models.ParticipantInfo:
    return models.ParticipantInfo(permission=models.ParticipantPermission(can_update_metadata=True))


def test_an_ordinary_update_is_accepted() -> None:
    check_update(UPDATE(name="Ada", metadata="m", attributes={"lanai.hand": "1"}), person())


@pytest.mark.parametrize(
    ("update", "reason"),
    [
        (UPDATE(attributes={"lanai.role": "host"}), rtc.RequestResponse.NOT_ALLOWED),
        (UPDATE(attributes={"lanai.role": ""}), rtc.RequestResponse.NOT_ALLOWED),
        (UPDATE(name="é" * 129), rtc.RequestResponse.LIMIT_EXCEEDED),
        (UPDATE(metadata="x" * (512 * 1024 + 1)), rtc.RequestResponse.LIMIT_EXCEEDED),
        (UPDATE(attributes={"a": "x" * 70_000}), rtc.RequestResponse.LIMIT_EXCEEDED),
    ],
)
def test_what_may_not_be_written_is_refused_with_its_reason(
    update: rtc.UpdateParticipantMetadata, reason: int
) -> None:
    with pytest.raises(MetadataRefusal) as caught:
        check_update(update, person())
    assert caught.value.reason == reason


def test_attributes_cannot_be_piled_up_past_the_limit() -> None:
    info = person()
    info.attributes["a"] = "x" * 60_000
    with pytest.raises(MetadataRefusal):
        check_update(UPDATE(attributes={"b": "x" * 10_000}), info)
    check_update(UPDATE(attributes={"b": "x" * 10_000, "a": ""}), info)


def test_the_role_cannot_be_brought_along() -> None:
    assert without_reserved({"lanai.role": "host", "a": "b"}) == {"a": "b"}


def test_without_the_grant_nothing_may_be_written() -> None:
    with pytest.raises(MetadataRefusal):
        check_update(UPDATE(name="Ada"), models.ParticipantInfo())


def test_everybody_may_subscribe_until_the_publisher_says_otherwise() -> None:
    assert SubscriptionRules().allows(sid="PA_b", identity="bob", track_sid="TR_1")
    rules = SubscriptionRules.from_request(
        rtc.SubscriptionPermission(
            track_permissions=[
                rtc.TrackPermission(participant_identity="bob", all_tracks=True),
                rtc.TrackPermission(participant_sid="PA_c", track_sids=["TR_1"]),
            ]
        )
    )
    assert rules.allows(sid="PA_b", identity="bob", track_sid="TR_2")
    assert rules.allows(sid="PA_c", identity="carol", track_sid="TR_1")
    assert not rules.allows(sid="PA_c", identity="carol", track_sid="TR_2")
    assert not rules.allows(sid="PA_d", identity="dave", track_sid="TR_1")


def test_an_update_changes_name_then_metadata_then_attributes() -> None:
    info = person()
    info.attributes.update({"a": "1", "b": "2"})
    update = UPDATE(name="Ada", metadata="m", attributes={"a": "", "c": "3"})
    assert list(apply_update(update, info)) == ["name", "metadata", "attributes"]
    assert (info.name, info.metadata, dict(info.attributes)) == ("Ada", "m", {"b": "2", "c": "3"})
    assert list(apply_update(UPDATE(name="Ada"), info)) == []
    assert list(apply_update(UPDATE(attributes={"c": "3"}), info)) == ["attributes"]


def test_a_first_announcement_joins_token_and_request() -> None:
    claims = Claims(
        identity="ada",
        name="Ada",
        kind="agent",
        attributes={"lanai.role": "guest"},
        video=VideoGrant(can_publish=False, can_publish_sources=("camera", "nonsense")),
    )
    request = rtc.JoinRequest(participant_attributes={"lanai.role": "host", "a": "b"})
    request.client_info.client_protocol = 2
    request.client_info.capabilities.append(models.ClientInfo.CAP_PACKET_TRAILER)
    info = first_info("PA_1", claims, request, now_ms=1_500)
    assert (info.joined_at, info.joined_at_ms, info.version) == (1, 1_500, 1)
    assert info.kind == models.ParticipantInfo.AGENT
    assert dict(info.attributes) == {"lanai.role": "guest", "a": "b"}
    assert (info.client_protocol, list(info.capabilities)) == (2, [1])
    assert not info.permission.can_publish
    assert not info.permission.can_publish_data
    assert list(info.permission.can_publish_sources) == [models.TrackSource.CAMERA]
    odd = first_info("PA_2", Claims(identity="x", kind="martian"), request, now_ms=1)
    assert odd.kind == models.ParticipantInfo.STANDARD


def test_early_data_waits_in_order_and_not_without_end() -> None:
    early = EarlyData()
    assert early.keep(b"1")
    assert not early.keep(bytes(EARLY_DATA_BYTES))
    assert early.keep(b"2")
    assert early.open() == [b"1", b"2"]
    assert not early.keep(b"3")
    assert early.open() == []


def test_a_file_for_somebody_who_is_still_connecting_waits_whole() -> None:
    early = EarlyData()
    packets = [bytes([number]) * 15_100 for number in range(70)]

    for packet in packets:
        early.keep(packet)

    assert early.open() == packets
