"""Data packets: who gets them, and what the server writes into them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit.protocol import models

from app.protocol.errors import ProtocolError
from app.server.room.data_router import (
    LOSSY,
    RELIABLE,
    DataRouter,
    DataSender,
    RoutedPacket,
)

PEOPLE = {"alice": "PA_a", "bob": "PA_b", "carol": "PA_c"}


def alice(**changes: object) -> DataSender:
    return DataSender(sid="PA_a", identity="alice", **changes)  # type: ignore[arg-type]


def route(
    packet: models.DataPacket,
    *,
    sender: DataSender | None = None,
    label: str = RELIABLE,
    router: DataRouter | None = None,
) -> tuple[models.DataPacket, tuple[str, ...]] | None:
    routed = (router or DataRouter()).route(
        sender or alice(), label, packet.SerializeToString(), PEOPLE
    )
    if routed is None:
        return None
    assert isinstance(routed, RoutedPacket)
    assert routed.label == label
    return models.DataPacket.FromString(routed.data), routed.to


def user(**fields: object) -> models.UserPacket:
    return models.UserPacket(payload=b"x", **fields)  # type: ignore[arg-type]


def test_a_broadcast_reaches_everybody_else_with_the_senders_true_identity() -> None:
    packet = models.DataPacket(
        user=user(participant_identity="mallory"),
        participant_identity="mallory",
        participant_sid="PA_x",
        sequence=7,
    )
    routed = route(packet)
    assert routed is not None
    forwarded, to = routed
    assert to == ("PA_b", "PA_c")
    assert (forwarded.participant_identity, forwarded.participant_sid) == ("alice", "PA_a")
    assert (forwarded.user.participant_identity, forwarded.user.participant_sid) == (
        "alice",
        "PA_a",
    )
    assert forwarded.sequence == 7
    assert forwarded.kind == models.DataPacket.RELIABLE


def test_named_receivers_get_it_strangers_and_the_sender_do_not() -> None:
    packet = models.DataPacket(
        user=user(), destination_identities=["bob", "nobody", "alice"], sequence=1
    )
    routed = route(packet)
    assert routed is not None
    assert routed[1] == ("PA_b",)
    assert list(routed[0].user.destination_identities) == ["bob", "nobody", "alice"]
    assert route(models.DataPacket(user=user(), destination_identities=["nobody"])) is None


def test_receivers_named_only_in_the_user_packet_count_too() -> None:
    routed = route(models.DataPacket(user=user(destination_identities=["carol"])))
    assert routed is not None
    assert routed[1] == ("PA_c",)
    assert list(routed[0].destination_identities) == ["carol"]
    routed = route(models.DataPacket(user=user(destination_sids=["PA_b"])))
    assert routed is not None
    assert routed[1] == ("PA_b",)


def test_a_repeated_sequence_is_dropped_and_zero_never_is() -> None:
    sender = alice()
    assert route(models.DataPacket(user=user(), sequence=5), sender=sender) is not None
    assert route(models.DataPacket(user=user(), sequence=5), sender=sender) is None
    assert route(models.DataPacket(user=user(), sequence=4), sender=sender) is None
    assert route(models.DataPacket(user=user(), sequence=9), sender=sender) is not None
    assert route(models.DataPacket(user=user()), sender=sender) is not None
    assert route(models.DataPacket(user=user(), sequence=3), sender=sender, label=LOSSY)


def test_a_nonce_is_delivered_once_per_room() -> None:
    router = DataRouter()
    packet = models.DataPacket(user=user(nonce=bytes(16)))
    assert route(packet, router=router) is not None
    assert route(packet, router=router) is None


def test_lack_of_permission_is_silent() -> None:
    packet = models.DataPacket(user=user())
    assert route(packet, sender=alice(may_publish_data=False)) is None


def test_a_hidden_sender_has_no_identity_but_a_sid() -> None:
    routed = route(models.DataPacket(user=user()), sender=alice(hidden=True))
    assert routed is not None
    assert (routed[0].participant_identity, routed[0].participant_sid) == ("", "PA_a")


def test_only_agents_send_captions_and_speak_for_others() -> None:
    captions = models.DataPacket(transcription=models.Transcription(track_id="TR_x"))
    assert route(captions) is None
    assert route(captions, sender=alice(is_agent=True)) is not None
    broken = models.DataPacket(transcription=models.Transcription(track_id="x"))
    assert route(broken, sender=alice(is_agent=True)) is None
    chat = models.DataPacket(chat_message=models.ChatMessage(), participant_identity="bob")
    routed = route(chat, sender=alice(is_agent=True))
    assert routed is not None
    assert (routed[0].participant_identity, routed[0].chat_message.generated) == ("bob", True)
    routed = route(chat)
    assert routed is not None
    assert routed[0].participant_identity == "alice"


def test_streams_pass_and_metrics_do_not() -> None:
    header = models.DataStream.Header(stream_id="s", topic="lk.chat")
    assert route(models.DataPacket(stream_header=header, sequence=1)) is not None
    assert route(models.DataPacket(metrics={})) is None


def test_bytes_that_are_no_packet_are_the_senders_error() -> None:
    with pytest.raises(ProtocolError):
        DataRouter().route(alice(), RELIABLE, b"\xff\xff\xff", PEOPLE)
    with pytest.raises(ProtocolError):
        DataRouter().route(alice(), RELIABLE, bytes(70_000), PEOPLE)


@given(st.binary(max_size=200))
def test_any_bytes_are_routed_or_refused(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        DataRouter().route(alice(is_agent=True), RELIABLE, data, PEOPLE)


def test_the_servers_own_packet_comes_from_nobody_and_once_for_each_nonce() -> None:
    router, people = DataRouter(), {"alice": "PA_a", "bob": "PA_b"}
    user = models.UserPacket(payload=b"x", topic="t", nonce=bytes(16))
    routed = router.route_from_server(user, LOSSY, people)
    assert routed is not None
    assert (routed.label, routed.to) == (LOSSY, ("PA_a", "PA_b"))
    packet = models.DataPacket.FromString(routed.data)
    assert (packet.participant_identity, packet.participant_sid, packet.sequence) == ("", "", 0)
    assert router.route_from_server(user, LOSSY, people) is None
    named = models.UserPacket(payload=b"x", destination_identities=["bob", "zoe"])
    routed = router.route_from_server(named, RELIABLE, people)
    assert routed is not None
    assert routed.to == ("PA_b",)
    with pytest.raises(ProtocolError):
        router.route_from_server(models.UserPacket(payload=bytes(64_000)), RELIABLE, people)


def test_an_answer_to_the_servers_own_call_is_not_routed() -> None:
    taken: list[str] = []
    router = DataRouter(lambda sid, packet: packet.rpc_ack.request_id == "ours")
    people = {"alice": "PA_a", "bob": "PA_b"}
    for call_id in ("ours", "theirs"):
        packet = models.DataPacket(
            rpc_ack=models.RpcAck(request_id=call_id), destination_identities=["bob"]
        )
        sender = DataSender("PA_a", "alice")
        if router.route(sender, RELIABLE, packet.SerializeToString(), people) is None:
            taken.append(call_id)
    assert taken == ["ours"]
