"""Calls of both versions, decided without a wire or a clock."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from livekit.protocol.models import DataPacket

from app.protocol.errors import ProtocolError
from app.protocol.rpc import (
    ID_ATTRIBUTE,
    MAX_MESSAGE_BYTES,
    MAX_PACKET_PAYLOAD_BYTES,
    MAX_RUNNING_OF_ONE,
    MAX_RUNNING_REQUESTS,
    METHOD_ATTRIBUTE,
    REQUEST_TOPIC,
    RESPONSE_TOPIC,
    TIMEOUT_ATTRIBUTE,
    VERSION_ATTRIBUTE,
    Action,
    Call,
    CallEnded,
    Invoke,
    RequestKey,
    RpcCode,
    RpcFailure,
    RpcMachine,
    SendPacket,
    SendText,
    StopInvocation,
    supports_rpc,
)
from tests.support.vectors import read_vector

KEY = RequestKey("caller", "r1")


def call(**changes: object) -> Call:
    fields: dict[str, object] = {"id": "c1", "destination": "bo", "method": "m", "payload": "ping"}
    return Call(**{**fields, **changes})  # type: ignore[arg-type]


def ack(sender: str, call_id: str = "c1") -> DataPacket:
    packet = DataPacket(participant_identity=sender)
    packet.rpc_ack.request_id = call_id
    return packet


def response(sender: str, payload: str = "pong", call_id: str = "c1") -> DataPacket:
    packet = DataPacket(participant_identity=sender)
    packet.rpc_response.request_id = call_id
    packet.rpc_response.payload = payload
    return packet


def request(*, version: int = 1, call_id: str = "r1", timeout_ms: int = 8_000) -> DataPacket:
    packet = DataPacket(participant_identity="caller")
    packet.rpc_request.id = call_id
    packet.rpc_request.method = "m"
    packet.rpc_request.payload = "ping"
    packet.rpc_request.version = version
    packet.rpc_request.response_timeout_ms = timeout_ms
    return packet


def opened(**changes: str) -> Mapping[str, str]:
    return {
        ID_ATTRIBUTE: "r1",
        METHOD_ATTRIBUTE: "m",
        TIMEOUT_ATTRIBUTE: "8000",
        VERSION_ATTRIBUTE: "2",
        **changes,
    }


def failure(code: RpcCode) -> RpcFailure:
    return RpcFailure.built_in(code)


def kinds(actions: list[Action]) -> list[object]:
    return [a.packet.WhichOneof("value") if isinstance(a, SendPacket) else type(a) for a in actions]


def test_the_form_of_a_request_follows_what_the_peer_announced() -> None:
    old = RpcMachine().call(call(), 0.0)
    new = RpcMachine().call(call(peer_protocol=1), 0.0)

    assert kinds(old) == ["rpc_request"]
    assert new == [
        SendText(
            REQUEST_TOPIC,
            "bo",
            "ping",
            {
                ID_ATTRIBUTE: "c1",
                METHOD_ATTRIBUTE: "m",
                TIMEOUT_ATTRIBUTE: "8000",
                VERSION_ATTRIBUTE: "2",
            },
            "c1",
        )
    ]


@pytest.mark.parametrize("peer_protocol", [0, 2])
def test_either_form_of_an_answer_counts(peer_protocol: int) -> None:
    for by_stream in (False, True):
        machine = RpcMachine()
        machine.call(call(peer_protocol=peer_protocol), 0.0)
        if by_stream:
            actions = machine.handle_response_text("bo", {ID_ATTRIBUTE: "c1"}, "pong")
        else:
            actions = machine.handle_packet(response("bo"), 1.0)
        assert actions == [CallEnded("c1", "pong")]


def test_an_error_is_as_long_as_one_may_be_whoever_sent_it() -> None:
    machine = RpcMachine()
    machine.call(call(), 0.0)
    packet = DataPacket(participant_identity="bo")
    packet.rpc_response.request_id = "c1"
    error = packet.rpc_response.error
    error.code, error.message, error.data = 7, "é" * 1_000, "y" * 20_000

    (ended,) = machine.handle_packet(packet, 1.0)

    expected = RpcFailure(7, "é" * (MAX_MESSAGE_BYTES // 2), "y" * MAX_PACKET_PAYLOAD_BYTES)
    assert ended == CallEnded("c1", failure=expected)


def test_only_the_one_who_was_called_may_answer() -> None:
    machine = RpcMachine()
    machine.call(call(), 0.0)

    assert machine.handle_packet(ack("mallory"), 1.0) == []
    assert machine.handle_packet(response("mallory"), 1.0) == []
    assert not machine.awaits("mallory", {ID_ATTRIBUTE: "c1"})
    assert machine.handle_response_text("mallory", {ID_ATTRIBUTE: "c1"}, "x") == []
    assert machine.handle_packet(response("bo"), 2.0) == [CallEnded("c1", "pong")]
    assert machine.handle_packet(response("bo"), 2.0) == []


def test_no_acknowledgement_and_no_answer_are_told_apart() -> None:
    machine = RpcMachine()
    machine.call(call(response_timeout_s=10.0, round_trip_s=7.0), 0.0)

    assert machine.next_deadline_s() == 7.0
    assert machine.handle_time(6.9) == []
    assert machine.handle_time(7.0) == [
        CallEnded("c1", failure=failure(RpcCode.CONNECTION_TIMEOUT))
    ]
    machine.call(call(response_timeout_s=10.0), 0.0)
    machine.handle_packet(ack("bo"), 5.0)
    assert machine.next_deadline_s() == 15.0
    assert machine.handle_time(15.0) == [CallEnded("c1", failure=failure(RpcCode.RESPONSE_TIMEOUT))]


def test_calls_end_when_the_peer_or_we_leave_or_nothing_is_sent() -> None:
    machine = RpcMachine()
    gone = CallEnded("c1", failure=failure(RpcCode.RECIPIENT_DISCONNECTED))
    machine.call(call(), 0.0)
    assert machine.handle_participant_left("ada") == []
    assert machine.handle_participant_left("bo") == [gone]
    machine.call(call(), 0.0)
    assert machine.handle_disconnect() == [gone]
    machine.call(call(), 0.0)
    assert machine.handle_send_failed("c1") == [
        CallEnded("c1", failure=failure(RpcCode.SEND_FAILED))
    ]
    assert machine.next_deadline_s() is None


def test_large_payloads_need_streams() -> None:
    large = "x" * (MAX_PACKET_PAYLOAD_BYTES + 1)

    assert RpcMachine().call(call(payload=large), 0.0) == [
        CallEnded("c1", failure=failure(RpcCode.REQUEST_PAYLOAD_TOO_LARGE))
    ]
    assert kinds(RpcMachine().call(call(payload=large, peer_protocol=1), 0.0)) == [SendText]


@pytest.mark.parametrize(
    ("version", "supported"),
    [("", True), ("1.7.9", False), ("1.8.0", True), ("1.13.0-dev", True), ("nightly", True)],
)
def test_old_servers_forward_no_calls(version: str, supported: bool) -> None:
    machine = RpcMachine()
    machine.server_version = version

    assert supports_rpc(version) is supported
    refused = [CallEnded("c1", failure=failure(RpcCode.UNSUPPORTED_SERVER))]
    assert (machine.call(call(), 0.0) == refused) is not supported


def test_a_request_is_acknowledged_before_it_is_run() -> None:
    machine = RpcMachine()

    assert kinds(machine.handle_packet(request(), 0.0)) == ["rpc_ack", Invoke]
    key, actions = machine.handle_request_opened("caller", opened(**{ID_ATTRIBUTE: "r2"}))
    assert key is not None
    assert kinds(actions) == ["rpc_ack"]
    assert machine.handle_request_text(key, "ping", 0.0) == [Invoke(key, "m", "ping", 8.0)]


def test_an_answer_goes_back_in_the_form_of_its_request() -> None:
    machine = RpcMachine()
    machine.handle_packet(request(), 0.0)
    large = "x" * (MAX_PACKET_PAYLOAD_BYTES + 1)
    by_packet = machine.answer(KEY, payload=large)
    assert isinstance(by_packet[0], SendPacket)
    assert by_packet[0].packet.rpc_response.error.code == RpcCode.RESPONSE_PAYLOAD_TOO_LARGE

    machine = RpcMachine()
    machine.handle_request_opened("caller", opened())
    assert machine.answer(KEY, payload=large) == [
        SendText(RESPONSE_TOPIC, "caller", large, {ID_ATTRIBUTE: "r1"})
    ]
    machine.handle_request_opened("caller", opened(**{ID_ATTRIBUTE: "r2"}))
    failed = machine.answer(RequestKey("caller", "r2"), failure=RpcFailure(7, "é" * 200, "why"))
    assert isinstance(failed[0], SendPacket)
    error = failed[0].packet.rpc_response.error
    assert (error.code, error.data) == (7, "why")
    assert len(error.message.encode()) <= MAX_MESSAGE_BYTES


@pytest.mark.parametrize("answered", [False, True])
def test_a_repeated_request_is_acknowledged_and_not_run_again(answered: bool) -> None:
    machine = RpcMachine()
    machine.handle_packet(request(), 0.0)
    if answered:
        machine.answer(KEY, payload="pong")

    assert kinds(machine.handle_packet(request(), 1.0)) == ["rpc_ack"]
    assert machine.handle_request_opened("caller", opened())[0] is None


def test_versions_that_we_do_not_know_are_refused_in_either_form() -> None:
    machine = RpcMachine()

    packet = machine.handle_packet(request(version=2), 0.0)
    key, stream = machine.handle_request_opened(
        "caller", opened(**{ID_ATTRIBUTE: "r2", VERSION_ATTRIBUTE: "1"})
    )

    assert key is None
    for actions in (packet, stream):
        assert kinds(actions) == ["rpc_ack", "rpc_response"]
        assert isinstance(actions[1], SendPacket)
        assert actions[1].packet.rpc_response.error.code == RpcCode.UNSUPPORTED_VERSION


def test_a_handler_too_slow_or_without_a_caller_is_stopped() -> None:
    machine = RpcMachine()
    machine.handle_packet(request(timeout_ms=500), 0.0)

    assert machine.next_deadline_s() == 0.5
    assert machine.handle_time(0.5) == [StopInvocation(KEY, RpcCode.RESPONSE_TIMEOUT)]
    assert machine.handle_time(9.0) == []
    late = machine.answer(KEY, failure=failure(RpcCode.RESPONSE_TIMEOUT))
    assert kinds(late) == ["rpc_response"]

    machine.handle_packet(request(call_id="r2"), 0.0)
    key = RequestKey("caller", "r2")
    assert machine.handle_participant_left("caller") == [
        StopInvocation(key, RpcCode.RECIPIENT_DISCONNECTED)
    ]
    assert machine.answer(key, payload="for nobody") == []


def test_a_request_of_the_server_comes_from_nobody_in_the_room_and_is_answered() -> None:
    machine = RpcMachine()
    packet = request(call_id="4f0c")
    packet.participant_identity = "4f0c"

    machine.handle_packet(packet, 0.0)
    answer = machine.answer(RequestKey("4f0c", "4f0c"), payload="pong")

    assert isinstance(answer[0], SendPacket)
    assert answer[0].packet.destination_identities == ["4f0c"]


def test_a_flood_of_requests_is_bounded() -> None:
    machine = RpcMachine()
    for number in range(MAX_RUNNING_REQUESTS):
        call = request(call_id=str(number))
        call.participant_identity = f"caller {number % 8}"
        machine.handle_packet(call, 0.0)

    assert machine.handle_packet(request(call_id="more"), 0.0) == []


@given(
    st.dictionaries(
        st.sampled_from([ID_ATTRIBUTE, METHOD_ATTRIBUTE, TIMEOUT_ATTRIBUTE, VERSION_ATTRIBUTE]),
        st.one_of(st.text(max_size=12), st.integers().map(str)),
    )
)
@settings(deadline=None)
def test_any_attributes_are_a_request_or_a_protocol_error(attributes: dict[str, str]) -> None:
    machine = RpcMachine()
    try:
        key, actions = machine.handle_request_opened("caller", attributes)
    except ProtocolError:
        return
    assert (key is None) == (len(actions) == 2)
    assert machine.handle_request_text(KEY, "x", 0.0) or key != KEY


@pytest.mark.parametrize("name", ["data_python_to_v2_peer", "data_chromium_to_v2_peer"])
def test_recorded_requests_by_stream_are_answered_as_recorded(name: str) -> None:
    machine = RpcMachine()
    ours: list[tuple[str, object]] = []
    theirs: list[tuple[str, object]] = []
    for record in read_vector(f"{name}.jsonl"):
        if record.kind != "data":
            continue
        packet = DataPacket.FromString(record.raw)
        header = packet.stream_header
        if record.direction == "server>client" and header.topic == REQUEST_TOPIC:
            sender = packet.participant_identity
            key, actions = machine.handle_request_opened(sender, dict(header.attributes))
            assert key is not None
            actions += machine.handle_request_text(key, header.inline_content.decode(), 0.0)
            invoke = actions[-1]
            assert isinstance(invoke, Invoke)
            outcome = {
                "ok": {"payload": "pong"},
                "bad": {"failure": RpcFailure(7, "nope", "why")},
                "other": {"failure": failure(RpcCode.UNSUPPORTED_METHOD)},
            }[invoke.method]
            actions = actions[:-1] + machine.answer(key, **outcome)  # type: ignore[arg-type]
            ours += [_comparable(action) for action in actions]
        elif record.direction == "client>server":
            if packet.WhichOneof("value") in ("rpc_ack", "rpc_response"):
                theirs.append(_comparable(SendPacket(packet)))
            elif header.topic == RESPONSE_TOPIC:
                text = header.inline_content.decode()
                (to,) = packet.destination_identities
                sent = SendText(RESPONSE_TOPIC, to, text, dict(header.attributes))
                theirs.append(_comparable(sent))

    assert len(ours) == 6
    assert ours == theirs


def _comparable(action: Action) -> tuple[str, object]:
    if isinstance(action, SendText):
        return action.destination, (action.topic, dict(action.attributes), action.text)
    assert isinstance(action, SendPacket)
    packet = DataPacket()
    packet.CopyFrom(action.packet)
    (to,) = packet.destination_identities
    which = packet.WhichOneof("value")
    return to, (packet.rpc_ack if which == "rpc_ack" else packet.rpc_response)


def test_one_caller_cannot_take_the_place_of_all_others() -> None:
    machine = RpcMachine()
    for number in range(MAX_RUNNING_OF_ONE):
        machine.handle_packet(request(call_id=str(number)), 0.0)
    other = request(call_id="other")
    other.participant_identity = "other"

    assert machine.handle_packet(request(call_id="more"), 0.0) == []
    assert machine.handle_packet(other, 0.0) != []
