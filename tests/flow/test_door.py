"""Bad links and closed doors: each is told with its reason, and the next try works."""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.engine.client import JoinSpec
from app.engine.events import MeetingEnded, MeetingJoined
from app.host.keys import load_or_make_keys
from app.host.tokens import host_token
from app.protocol.errors import ProtocolError
from app.protocol.invite import Link, LinkKind, parse_link
from app.protocol.token import VideoGrant, issue_token, sign_claims
from app.runtime.errors import Reason, WorldError
from app.runtime.paths import Paths
from tests.support.meeting import attending, guest_link, hosted

QUIET: dict[str, Any] = {"mic_on": False, "camera_on": False}


async def refusal(folder: Path, spec: JoinSpec) -> Reason:
    """Try to join and return the reason why not; nothing of the try is left behind."""
    async with attending(folder) as guest:
        with pytest.raises(WorldError) as raised:
            await guest.engine.join(replace(spec, **QUIET))
        assert guest.all(MeetingJoined) == guest.all(MeetingEnded) == []
        return raised.value.reason


async def test_the_door_says_who_is_in_and_asks_for_the_passcode(tmp_path: Path) -> None:
    async with hosted(tmp_path, passcode="open sesame") as (_, room), attending(tmp_path) as guest:
        link = parse_link(f"{room.address}/jam")

        lookup = await guest.engine.look_up(link)
        wrong = await refusal(tmp_path, JoinSpec("Bo", link, passcode="guess"))
        missing = await refusal(tmp_path, JoinSpec("Bo", link))
        await guest.join(JoinSpec("Bo", link, passcode="open sesame", **QUIET))
        inside = await guest.engine.look_up(link, "open sesame")

    assert (lookup.room, lookup.host_name, lookup.needs_passcode) == ("jam", "Ada", True)
    assert lookup.people == ()
    assert wrong is missing is Reason.PASSCODE
    assert inside.people == ("Bo",)


async def test_an_invitation_needs_no_passcode(tmp_path: Path) -> None:
    async with hosted(tmp_path, passcode="x") as (_, room), attending(tmp_path) as guest:
        await guest.join(JoinSpec("Bo", guest_link(room), **QUIET))


async def test_a_name_typed_by_hand_finds_its_meeting(tmp_path: Path) -> None:
    async with hosted(tmp_path) as (_, room), attending(tmp_path) as guest:
        link = parse_link(f"{room.address}/Jam!")

        lookup = await guest.engine.look_up(link)
        await guest.join(JoinSpec("Bo", link, **QUIET))

    assert (lookup.known, lookup.room) == (True, "jam")


async def test_invitations_that_are_old_or_forged_or_for_another_room(tmp_path: Path) -> None:
    async with hosted(tmp_path) as (_, room):
        link = guest_link(room)
        keys = load_or_make_keys(Paths.under(tmp_path), use_keyring=False)

        def signed(secret: str, expires_at_s: float, room_name: str = "jam") -> Link:
            claims = {
                "iss": keys.api_key,
                "exp": int(expires_at_s),
                "lanai": {"room": room_name, "role": "guest", "jti": "1"},
            }
            return replace(link, invite=sign_claims(claims, api_secret=secret))

        later_s = time.time() + 600
        old = await refusal(tmp_path, JoinSpec("Bo", signed(keys.api_secret, 1_000)))
        forged = await refusal(tmp_path, JoinSpec("Bo", signed("x" * 32, later_s)))
        other = await refusal(tmp_path, JoinSpec("Bo", signed(keys.api_secret, later_s, "den")))

    assert (old, forged, other) == (Reason.EXPIRED, Reason.FORGED, Reason.FORGED)


async def test_a_room_that_does_not_exist(tmp_path: Path) -> None:
    async with hosted(tmp_path) as (_, room):
        link = parse_link(f"{room.address}/nowhere")

        assert await refusal(tmp_path, JoinSpec("Bo", link)) is Reason.NOT_FOUND


async def test_tokens_that_are_expired_forged_or_for_nothing(tmp_path: Path) -> None:
    async with hosted(tmp_path) as (_, room):
        keys = load_or_make_keys(Paths.under(tmp_path), use_keyring=False)
        now_s = time.time()

        def with_token(token: str) -> JoinSpec:
            return JoinSpec("Bo", parse_link(f"{room.ws_url} {token}"))

        forged = replace(keys, api_secret="x" * 32)
        unknown = replace(keys, api_key="nobody")
        no_grant = issue_token(
            api_key=keys.api_key,
            api_secret=keys.api_secret,
            identity="bo",
            now_s=now_s,
            grant=VideoGrant(),
        )
        tokens = {
            "expired": host_token(keys, room="jam", name="Bo", now_s=now_s - 7 * 3600),
            "forged": host_token(forged, room="jam", name="Bo", now_s=now_s),
            "unknown": host_token(unknown, room="jam", name="Bo", now_s=now_s),
            "no grant": no_grant,
        }
        reasons = {
            name: await refusal(tmp_path, with_token(token)) for name, token in tokens.items()
        }

    assert reasons["expired"] is Reason.EXPIRED
    assert reasons["forged"] is reasons["unknown"] is Reason.FORGED
    assert reasons["no grant"] in (Reason.FORGED, Reason.DENIED)


async def test_nobody_listens_there(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        by_door = JoinSpec("Bo", Link(LinkKind.DOOR, "127.0.0.1", port, room="jam"))
        by_token = JoinSpec("Bo", server_url=f"ws://127.0.0.1:{port}", token="t")

        assert await refusal(tmp_path, by_door) is Reason.REFUSED
        assert await refusal(tmp_path, by_token) is Reason.REFUSED


async def test_a_name_that_resolves_to_nothing(tmp_path: Path) -> None:
    link = parse_link("no-such-host.invalid/jam")

    assert await refusal(tmp_path, JoinSpec("Bo", link)) is Reason.NO_ROUTE


async def test_something_that_is_no_lanai_server(tmp_path: Path) -> None:
    async def babble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    link = parse_link(f"127.0.0.1:{port}/jam")

    reason = await refusal(tmp_path, JoinSpec("Bo", link))
    server.close()

    assert reason is Reason.NO_ROUTE


async def test_a_join_that_is_given_up_leaves_nothing_and_the_next_one_works(
    tmp_path: Path,
) -> None:
    held = asyncio.Event()
    asked = asyncio.Event()

    async def never_answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await held.wait()
        writer.close()

    server = await asyncio.start_server(never_answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with hosted(tmp_path) as (_, room), attending(tmp_path) as guest:
        silent = JoinSpec("Bo", parse_link(f"127.0.0.1:{port}/jam"))
        joining = asyncio.get_running_loop().create_task(guest.engine.join(silent))
        await asked.wait()

        await guest.engine.cancel_join()
        with pytest.raises(asyncio.CancelledError):
            await joining
        await guest.join(JoinSpec("Bo", guest_link(room), **QUIET))
    held.set()
    server.close()


@pytest.mark.parametrize("text", ["hello there", "http//x", "lanai://", "wss://x.example"])
def test_a_text_that_is_no_link(text: str) -> None:
    with pytest.raises(ProtocolError):
        parse_link(text)
