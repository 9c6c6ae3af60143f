"""What a host does with the app's engine, against the real server: each is seen by everybody."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from app.engine.client import JoinSpec
from app.engine.events import (
    EndCause,
    JoinProgressed,
    JoinStage,
    KnockArrived,
    KnocksChanged,
    LocalMediaChanged,
    MeetingEnded,
    MeetingJoined,
    MutedByHost,
    PersonChanged,
    ReactionReceived,
    Role,
    RoomRulesChanged,
)
from app.host.hosted import HostedServer
from app.protocol import compat
from app.protocol.invite import parse_link
from app.runtime.errors import Reason, WorldError
from app.runtime.paths import Paths
from app.runtime.settings import Settings
from tests.support.meeting import attending, guest_link, host_spec, hosted

QUIET: dict[str, Any] = {"mic_on": False, "camera_on": False}


async def test_the_host_lets_a_guest_in_out_of_the_lobby(tmp_path: Path) -> None:
    server = HostedServer(
        Settings(host_port=0, host_rtc_port=0), Paths.under(tmp_path), use_keyring=False
    )
    room = await server.start("jam", "Ada", lan=False, lobby=True)
    try:
        async with attending(tmp_path) as host, attending(tmp_path, 1) as guest:
            await host.join(host_spec(room, **QUIET))
            rules = await host.wait(RoomRulesChanged)
            entering = asyncio.get_running_loop().create_task(
                guest.join(JoinSpec("Bo", guest_link(room), **QUIET))
            )
            knock = (await host.wait(KnockArrived)).knock
            assert guest.all(JoinProgressed)[-1].stage is JoinStage.IN_LOBBY
            assert not guest.all(MeetingJoined)
            await host.engine.answer_knock(knock.id, admit=True)
            await entering
            assert host.all(KnocksChanged)[-1].knocks == ()

            # The next one is denied, and the one after gives up.
            async with attending(tmp_path, 2) as other:
                refused = asyncio.get_running_loop().create_task(
                    other.join(JoinSpec("Cy", guest_link(room), **QUIET))
                )
                knock = (await host.wait(KnockArrived, lambda k: k.knock.name == "Cy")).knock
                await host.engine.answer_knock(knock.id, admit=False)
                with pytest.raises(WorldError) as raised:
                    await refused
                # A guest has no say about who comes in.
                with pytest.raises(WorldError) as not_allowed:
                    await guest.engine.answer_knock(knock.id, admit=True)
    finally:
        await server.stop()

    assert rules.rules.lobby
    assert not rules.rules.locked
    assert knock.name == "Cy"
    assert raised.value.reason is Reason.DENIED
    assert not_allowed.value.reason is Reason.DENIED
    assert not guest.all(KnocksChanged)


async def test_a_demoted_cohost_sees_no_lobby_and_the_new_rules_reach_all(tmp_path: Path) -> None:
    async with (
        hosted(tmp_path) as (_, room),
        attending(tmp_path) as host,
        attending(tmp_path, 1) as guest,
    ):
        await host.join(host_spec(room, **QUIET))
        me = await guest.join(JoinSpec("Bo", guest_link(room), **QUIET))
        await host.engine.set_role(me.identity, Role.COHOST)
        await guest.wait(PersonChanged, lambda e: e.person.is_me and e.person.role is Role.COHOST)
        # The token that came with it is good at once.
        await guest.engine.change_rules(lobby=True, files=False)
        for attendee in (host, guest):
            seen = await attendee.wait(RoomRulesChanged, lambda e: e.rules.lobby)
            assert (seen.rules.files, seen.rules.chat) == (False, True)
        with pytest.raises(WorldError) as raised:
            await host.engine.set_role(host.all(MeetingJoined)[0].me, Role.GUEST)
        await host.engine.set_role(me.identity, Role.GUEST)
        await guest.wait(
            PersonChanged,
            lambda e: e.person.is_me and e.person.role is Role.GUEST,
        )
        with pytest.raises(WorldError) as denied:
            await guest.engine.change_rules(lobby=False)

    assert (raised.value.reason, raised.value.detail) == (Reason.REFUSED, "409 last_host")
    assert denied.value.reason is Reason.DENIED


async def test_hands_status_and_reactions_are_seen_by_the_others(tmp_path: Path) -> None:
    async with (
        hosted(tmp_path) as (_, room),
        attending(tmp_path) as host,
        attending(tmp_path, 1) as guest,
    ):
        await host.join(host_spec(room, **QUIET))
        me = await guest.join(JoinSpec("Bo", guest_link(room), **QUIET))

        await guest.engine.set_hand(True)
        up = await host.wait(PersonChanged, lambda e: e.person.hand_at_ms > 0)
        await guest.engine.set_status("back at\n five")
        status = await host.wait(PersonChanged, lambda e: bool(e.person.status))
        await guest.engine.send_reaction("👍")
        reaction = await host.wait(ReactionReceived)
        await host.engine.lower_hand(me.identity)
        down = await guest.wait(
            PersonChanged, lambda e: bool(e.person.status) and not e.person.hand_at_ms
        )
        await host.engine.rename_person(me.identity, "Bob")
        renamed = await guest.wait(PersonChanged, lambda e: e.person.name == "Bob")

    assert up.person.identity == reaction.identity == me.identity
    assert status.person.status == "back at five"
    assert (reaction.name, reaction.emoji, reaction.is_mine) == ("Bo", "👍", False)
    assert [e.is_mine for e in guest.all(ReactionReceived)] == [True]
    assert down.person.is_me
    assert renamed.person.is_me


async def test_the_host_mutes_and_removes_and_a_guest_cannot(tmp_path: Path) -> None:
    async with (
        hosted(tmp_path) as (_, room),
        attending(tmp_path) as host,
        attending(tmp_path, 1) as guest,
    ):
        host_me = await host.join(host_spec(room))
        me = await guest.join(JoinSpec("Bo", guest_link(room)))
        await host.wait(
            PersonChanged,
            lambda e: e.person.identity == me.identity and e.person.mic_on and e.person.camera_on,
        )
        await guest.wait(PersonChanged, lambda e: e.person.is_me and e.person.mic_on)

        await host.engine.mute_person(me.identity)
        await guest.wait(MutedByHost, lambda e: e.microphone)
        await guest.wait(LocalMediaChanged, lambda e: not e.mic_on and e.camera_on)
        await host.engine.stop_video(me.identity)
        await guest.wait(LocalMediaChanged, lambda e: not e.mic_on and not e.camera_on)
        host.forget()
        await guest.engine.set_microphone(True)
        await host.wait(
            PersonChanged, lambda e: e.person.identity == me.identity and e.person.mic_on
        )

        refusals = []
        for forbidden in (
            guest.engine.mute_person(host_me.identity),
            guest.engine.remove_person(host_me.identity),
            guest.engine.lower_hand(host_me.identity),
            guest.engine.rename_person(host_me.identity, "Nobody"),
            guest.engine.set_role(me.identity, Role.HOST),
            guest.engine.change_rules(locked=True),
            guest.engine.answer_all_knocks(admit=True),
            guest.engine.leave(end_for_all=True),
        ):
            with pytest.raises(WorldError) as raised:
                await forbidden
            refusals.append(raised.value.reason)

        await host.engine.remove_person(me.identity)
        ended = await guest.wait(MeetingEnded)
        # The app knocks as who it was: removed is removed until somebody admits it again.
        guest.forget()
        spec = JoinSpec("Bo", guest_link(room), **QUIET)
        back = asyncio.get_running_loop().create_task(guest.join(spec))
        knock = (await host.wait(KnockArrived)).knock
        await host.engine.answer_knock(knock.id, admit=True)
        again = await back
        with pytest.raises(WorldError) as gone:
            await host.engine.remove_person("nobody")

    assert refusals == [Reason.DENIED] * 8
    assert ended.cause is EndCause.REMOVED
    assert again.identity == me.identity
    assert gone.value.reason is Reason.NOT_FOUND


async def test_a_locked_room_says_so(tmp_path: Path) -> None:
    async with hosted(tmp_path) as (_, room), attending(tmp_path) as host:
        await host.join(host_spec(room, **QUIET))
        await host.engine.change_rules(locked=True)
        async with attending(tmp_path, 1) as guest:
            lookup = await guest.engine.look_up(parse_link(f"{room.address}/jam"))
            with pytest.raises(WorldError) as raised:
                await guest.join(JoinSpec("Bo", guest_link(room), **QUIET))
    assert lookup.locked
    assert raised.value.reason is Reason.LOCKED


@pytest.mark.parametrize("keeps_roles", [True, False])
async def test_who_calls_itself_host_is_believed_only_where_the_server_writes_roles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keeps_roles: bool
) -> None:
    if not keeps_roles:
        # As any other LiveKit server, where attributes are everybody's to write.
        monkeypatch.setattr(compat, "KEEPS_ROLES", "not what ours says")
    async with (
        hosted(tmp_path) as (_, room),
        attending(tmp_path) as host,
        attending(tmp_path, 1) as bo,
    ):
        await host.join(host_spec(room, **QUIET))
        await bo.join(JoinSpec("Bo", guest_link(room), **QUIET))
        seen = {p.name: p.role for p in (await bo.wait(MeetingJoined)).people}
        own = {p.name: p.role for p in (await host.wait(MeetingJoined)).people}

    assert own["Ada"] is Role.HOST
    assert seen["Ada"] is (Role.HOST if keeps_roles else Role.GUEST)
