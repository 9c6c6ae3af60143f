"""The server as a program: tokens, server API, webhooks, ports, and clients that misbehave."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from livekit import api
from livekit.protocol import models, rtc

from app.protocol.token import VideoGrant, issue_token
from tests.support.sdk_peer import SdkPeer, SdkPeerError
from tests.support.server_process import KEY, SECRET, ServerProcess, token_for

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("network")]


def join_parameter() -> str:
    inner = rtc.JoinRequest()
    inner.client_info.protocol = 16
    inner.connection_settings.auto_subscribe = True
    wrapped = rtc.WrappedJoinRequest(join_request=inner.SerializeToString())
    return base64.urlsafe_b64encode(wrapped.SerializeToString()).decode()


@pytest_asyncio.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


class Receiver:
    """A webhook receiver that checks signatures as the official library does."""

    def __init__(self) -> None:
        self.events: list[api.WebhookEvent] = []
        self.arrived = asyncio.Event()
        self.url = ""
        self._verifier = api.WebhookReceiver(api.TokenVerifier(KEY, SECRET))

    async def _take(self, request: web.Request) -> web.Response:
        body = (await request.read()).decode()
        assert request.content_type == "application/webhook+json"
        self.events.append(self._verifier.receive(body, request.headers["Authorization"]))
        self.arrived.set()
        return web.Response()

    async def wait_for(self, name: str) -> None:
        async with asyncio.timeout(30):
            while name not in [event.event for event in self.events]:
                self.arrived.clear()
                await self.arrived.wait()

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        application = web.Application()
        application.router.add_post("/hook", self._take)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        try:
            yield
        finally:
            await runner.cleanup()


async def test_deleting_the_room_sends_everybody_away(
    server: ServerProcess, alice: SdkPeer, bob: SdkPeer
) -> None:
    for peer in (alice, bob):
        await peer.connect(server.url, token_for(peer.identity))
    async with api.LiveKitAPI(server.http_url, KEY, SECRET) as client:
        await client.room.delete_room(api.DeleteRoomRequest(room="room"))
        for peer in (alice, bob):
            await peer.wait_event("disconnected", reason=5)  # ROOM_DELETED
        with pytest.raises(api.TwirpError) as caught:
            await client.room.delete_room(api.DeleteRoomRequest(room="room"))
        assert (caught.value.code, caught.value.status) == ("not_found", 404)
        assert not (await client.room.list_rooms(api.ListRoomsRequest())).rooms


async def test_the_server_api_wants_the_grant_and_answers_in_json_too(
    server: ServerProcess, alice: SdkPeer, http: aiohttp.ClientSession
) -> None:
    await alice.connect(server.url, token_for("alice"))
    url = f"{server.http_url}/twirp/livekit.RoomService"
    stranger = {"Authorization": f"Bearer {token_for('x')}"}
    host = {"Authorization": f"Bearer {token_for('x', room_create=True)}"}
    other = token_for("x", room="other", room_create=True)
    elsewhere = {"Authorization": f"Bearer {other}"}
    for headers, method, body, status, code in (
        ({}, "DeleteRoom", {"room": "room"}, 401, "unauthenticated"),
        (stranger, "DeleteRoom", {"room": "room"}, 401, "unauthenticated"),
        (host, "Nothing", {}, 404, "bad_route"),
        (host, "ListRooms", {}, 401, "unauthenticated"),
        (host, "DeleteRoom", {"room": "other"}, 404, "not_found"),
        (elsewhere, "DeleteRoom", {"room": "other"}, 404, "not_found"),
    ):
        async with http.post(f"{url}/{method}", json=body, headers=headers) as response:
            assert (response.status, (await response.json())["code"]) == (status, code)
    async with http.post(f"{url}/DeleteRoom", data=b"{", headers=host) as response:
        assert response.status == 404
    async with http.post(f"{url}/DeleteRoom", json={"room": "room"}, headers=host) as response:
        assert (response.status, await response.json()) == (200, {})
    await alice.wait_event("disconnected")


async def test_refused_tokens_are_refused_before_the_upgrade(
    server: ServerProcess, alice: SdkPeer, http: aiohttp.ClientSession
) -> None:
    now_s = time.time()
    grant = VideoGrant(room_join=True, room="room")

    def token(**changes: object) -> str:
        values = {"api_key": KEY, "api_secret": SECRET, "identity": "a", "now_s": now_s}
        return issue_token(**{**values, "grant": grant, **changes})  # type: ignore[arg-type]

    cases = [
        (None, 401),
        ("not-a-token", 401),
        (token(api_key="nobody"), 401),
        (token(api_secret="x" * 40), 401),
        (token(now_s=now_s - 9_000, ttl_s=60), 401),
        (token(now_s=now_s + 9_000), 401),
        (token(grant=VideoGrant(room="room")), 401),
        (token(grant=VideoGrant(room_join=True)), 400),
        (token(identity=""), 400),
        (token(), 200),
    ]
    for value, status in cases:
        headers = {"Authorization": f"Bearer {value}"} if value else {}
        query = {"join_request": join_parameter()}
        url = f"{server.http_url}/rtc/v1/validate"
        async with http.get(url, params=query, headers=headers) as response:
            text = await response.text()
            assert response.status == status, text
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            assert not value or value not in text
        if status != 200:
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await http.ws_connect(f"{server.url}/rtc/v1", params=query, headers=headers)
            assert caught.value.status == status
    with pytest.raises(SdkPeerError):
        await alice.connect(server.url, token(api_secret="x" * 40))


async def test_paths_that_older_clients_try_are_plainly_missing(
    server: ServerProcess, http: aiohttp.ClientSession
) -> None:
    for path, status, body in (
        ("/", 200, "OK"),
        ("/rtc", 404, ""),
        ("/rtc/validate", 404, ""),
        ("/rtc/v1", 404, ""),
        ("/nothing", 404, "404 page not found\n"),
        ("/lanai/v1/rooms/room", 404, "404 page not found\n"),
    ):
        async with http.get(server.http_url + path) as response:
            assert (response.status, await response.text()) == (status, body), path
            assert response.headers["Access-Control-Allow-Origin"] == "*"
    async with http.options(f"{server.http_url}/rtc/v1/validate") as response:
        assert response.status == 204
        assert "Authorization" in response.headers["Access-Control-Allow-Headers"]


async def test_webhooks_tell_the_whole_story_in_order() -> None:
    receiver = Receiver()
    async with (
        receiver.run(),
        ServerProcess("--webhook", receiver.url) as server,
        SdkPeer("alice") as alice,
    ):
        await alice.connect(server.url, token_for("alice"))
        sid = await alice.call("publish_tone", freq_hz=440.0)
        await receiver.wait_for("track_published")
        await alice.call("unpublish", sid=sid)
        await receiver.wait_for("track_unpublished")
        await alice.call("disconnect")
        await receiver.wait_for("participant_left")
        await server.stop()
    events = receiver.events
    assert [event.event for event in events] == [
        "room_started",
        "participant_joined",
        "track_published",
        "track_unpublished",
        "participant_left",
        "room_finished",
    ]
    assert len({event.id for event in events}) == len(events)
    assert {event.room.name for event in events} == {"room"}
    assert (events[1].participant.identity, events[2].track.sid) == ("alice", sid)
    assert abs(events[0].created_at - time.time()) < 120


async def test_a_webhook_receiver_that_is_gone_disturbs_nobody(alice: SdkPeer) -> None:
    async with ServerProcess("--webhook", "http://127.0.0.1:9/gone") as server:
        await alice.connect(server.url, token_for("alice"))
        await alice.call("disconnect")


async def test_a_taken_port_is_one_clear_line_and_status_two() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with pytest.raises(AssertionError, match="the port is in use") as caught:
            async with ServerProcess("--port", port):
                pass
    words = str(caught.value)
    assert words.count("serve: ") == 1
    assert "Traceback" not in words


async def test_a_server_that_stops_says_so_to_everybody(
    server: ServerProcess, alice: SdkPeer, bob: SdkPeer
) -> None:
    for peer in (alice, bob):
        await peer.connect(server.url, token_for(peer.identity))
    assert await server.stop() == 0
    for peer in (alice, bob):
        await peer.wait_event("disconnected", reason=3)  # SERVER_SHUTDOWN
        assert not [e for e in await peer.call("events") if e["event"] == "reconnecting"]


async def test_the_server_ends_with_its_parent() -> None:
    async with ServerProcess(config={"bind": ["127.0.0.1"]}) as server:
        assert await server.end_stdin() == 0


async def test_the_development_key_is_for_loopback_only() -> None:
    with pytest.raises(AssertionError, match="loopback"):
        async with ServerProcess("--dev", "--bind", "0.0.0.0"):
            pass


async def test_clients_that_send_nonsense_are_one_log_line_and_nobody_else_notices(
    server: ServerProcess, alice: SdkPeer, bob: SdkPeer, http: aiohttp.ClientSession
) -> None:
    await alice.connect(server.url, token_for("alice"))
    await bob.connect(server.url, token_for("bob"))
    headers = {"Authorization": f"Bearer {token_for('mallory')}"}
    query = {"join_request": join_parameter()}
    nonsense: list[bytes | rtc.SignalRequest] = [
        b"\xff\xff\xff\xff",
        rtc.SignalRequest(offer=rtc.SessionDescription(type="offer", sdp="v=1")),
        rtc.SignalRequest(
            offer=rtc.SessionDescription(
                type="offer",
                sdp="v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n",
            )
        ),
    ]
    async with http.ws_connect(f"{server.url}/rtc/v1", params=query, headers=headers) as socket_:
        first = rtc.SignalResponse.FromString(await socket_.receive_bytes())
        assert first.WhichOneof("message") == "join"
        await bob.wait_event("participant_connected", identity="mallory")
        for item in nonsense:
            await socket_.send_bytes(item if isinstance(item, bytes) else item.SerializeToString())
        await socket_.send_bytes(rtc.SignalRequest(ping=1).SerializeToString())
        while rtc.SignalResponse.FromString(await socket_.receive_bytes()).pong == 0:
            pass
    await bob.wait_event("participant_disconnected", identity="mallory")
    assert server.log.count("signal frame dropped") == len(nonsense)
    await alice.call("publish_tone", freq_hz=440.0)
    await bob.wait_media("tone", identity="alice", freq_hz=440.0)


async def test_bytes_that_are_no_request_are_one_quiet_line(
    server: ServerProcess, http: aiohttp.ClientSession
) -> None:
    host, port = "127.0.0.1", int(server.url.rsplit(":", 1)[1])
    for junk in (b"\x16\x03\x01 not tls\r\n\r\n", b"GET /" + b"x" * 400_000 + b" HTTP/1.1\r\n\r\n"):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(junk)
        assert b" 400 " in await reader.readline()
        writer.close()
    async with http.get(server.http_url) as response:
        assert response.status == 200
    assert "malformed HTTP request refused" in server.log
    assert "127.0.0.1" not in server.log


async def test_a_configuration_that_makes_no_sense_is_one_line_and_status_two() -> None:
    with pytest.raises(AssertionError, match="unknown configuration key 'prot'") as caught:
        async with ServerProcess(config={"prot": 1}):
            pass
    assert "Traceback" not in str(caught.value)


async def test_a_resume_of_an_unknown_session_is_sent_round_for_a_new_one(
    server: ServerProcess, http: aiohttp.ClientSession
) -> None:
    inner = rtc.JoinRequest(reconnect=True, participant_sid="PA_gone")
    wrapped = rtc.WrappedJoinRequest(join_request=inner.SerializeToString())
    query = {"join_request": base64.urlsafe_b64encode(wrapped.SerializeToString()).decode()}
    headers = {"Authorization": f"Bearer {token_for('alice')}"}
    async with http.ws_connect(f"{server.url}/rtc/v1", params=query, headers=headers) as socket_:
        leave = rtc.SignalResponse.FromString(await socket_.receive_bytes()).leave
        assert leave.action == rtc.LeaveRequest.RECONNECT
        assert leave.reason == models.DisconnectReason.STATE_MISMATCH
        assert (await socket_.receive()).type is aiohttp.WSMsgType.CLOSE


async def test_a_client_that_speaks_json_is_answered_in_json(
    server: ServerProcess, http: aiohttp.ClientSession
) -> None:
    headers = {"Authorization": f"Bearer {token_for('alice')}"}
    query = {"join_request": join_parameter()}
    async with http.ws_connect(f"{server.url}/rtc/v1", params=query, headers=headers) as socket_:
        await socket_.send_str('{"ping": "7"}')
        async for message in socket_:
            if message.type is aiohttp.WSMsgType.TEXT:
                assert int(json.loads(message.data)["pong"]) > 0
                return
    raise AssertionError("no JSON came back")


async def test_the_log_says_nothing_about_people(
    server: ServerProcess, alice: SdkPeer, bob: SdkPeer
) -> None:
    token = token_for("alice-wonder", room="tea-party")
    await alice.connect(server.url, token)
    await bob.connect(server.url, token_for("bob-builder", room="tea-party"))
    await bob.call("listen", topic="lk.chat")
    await alice.call("send_text", topic="lk.chat", text="off with their heads")
    await bob.call("wait_inbox", count=1, within_s=30)
    await alice.call("set_name", name="Cheshire")
    await alice.call("disconnect")
    await bob.call("disconnect")
    await server.stop()
    assert "participant left" in server.log
    words = ("wonder", "builder", "tea-party", "heads", "Cheshire", "127.0.0.1", token[-20:])
    assert [word for word in words if word in server.log] == []


async def test_rooms_do_not_hear_of_each_other(
    server: ServerProcess, alice: SdkPeer, bob: SdkPeer
) -> None:
    await alice.connect(server.url, token_for("alice", room="one"))
    joined = await bob.connect(server.url, token_for("bob", room="two"))
    assert joined["people"] == []
    await alice.call("publish_data", data="", topic="x")
    assert await bob.call("people") == []
    assert not [e for e in await bob.call("events") if e["event"] == "data_received"]


async def test_clients_return_to_a_server_that_was_restarted(alice: SdkPeer, bob: SdkPeer) -> None:
    config = {"bind": ["127.0.0.1"]}
    async with ServerProcess(config=config) as first:
        port = int(first.url.rsplit(":", 1)[1])
        for peer in (alice, bob):
            await peer.connect(first.url, token_for(peer.identity))
        sid = await alice.call("publish_tone", freq_hz=440.0)
        await bob.wait_media("tone", sid=sid, freq_hz=440.0)
        first.kill()
        again = {**config, "port": port, "rtc_port": first.rtc_port}
        async with ServerProcess(config=again):
            await bob.wait_event("reconnected")
            await bob.wait_media("tone", identity="alice", freq_hz=440.0)


async def test_the_door_opens_for_the_passcode_and_slows_down_guessing(
    http: aiohttp.ClientSession,
) -> None:
    room = {"name": "standup", "host_name": "Ada", "passcode": "1234"}
    async with ServerProcess(config={"door": True, "rooms": [room]}) as server:
        base = f"{server.http_url}/lanai/v1"
        async with http.get(f"{base}/rooms/standup") as response:
            known = await response.json()
        assert (known["name"], known["host"], known["passcode"]) == ("standup", "Ada", True)
        assert known["people"] == []
        async with http.get(f"{base}/rooms/nowhere") as response:
            assert response.status == 404

        async def knock(**wish: str) -> tuple[int, dict[str, str]]:
            body = {"room": "standup", "name": "Bob B.", **wish}
            async with http.post(f"{base}/join", json=body) as response:
                return response.status, await response.json()

        status, answer = await knock(passcode="1234")
        assert (status, answer["role"], answer["server_url"]) == (200, "guest", server.url)
        async with SdkPeer("bob") as bob:
            await bob.connect(answer["server_url"], answer["participant_token"])
            async with http.get(f"{base}/rooms/standup", params={"passcode": "1234"}) as response:
                assert (await response.json())["people"] == [{"name": "Bob B."}]
        for wish, error in (
            ({}, "passcode"),
            ({"passcode": "0000"}, "passcode"),
            ({"invite": "x"}, "invite_invalid"),
            ({"invite": token_for("a", room="standup")}, "invite_invalid"),
            ({"passcode": "1"}, "passcode"),
        ):
            assert await knock(**wish) == (401, {"error": error})
        assert (await knock(passcode="1234"))[0] == 429
