"""The developer panel's commands through a real engine in a real meeting."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from app.engine import rtc
from app.engine.client import JoinSpec
from app.engine.developer import DeveloperView, RpcRequest, WatchedTrack
from app.runtime.errors import Reason, WorldError
from tests.support.engine_server import our_server
from tests.support.meeting import DEADLINE_S, attending


async def test_a_script_in_the_meeting_is_called_and_watched(tmp_path: Path) -> None:
    async with our_server() as server, attending(tmp_path) as ada:
        assert await ada.engine.developer_view() == DeveloperView()
        with pytest.raises(WorldError) as refused:
            await ada.engine.developer_call(RpcRequest("robot", "greet"))
        assert refused.value.reason is Reason.PEER_GONE

        token = server.token("ada")
        await ada.join(
            JoinSpec("Ada", server_url=server.url, token=token, mic_on=False, camera_on=False)
        )
        robot = rtc.Room()
        await robot.connect(server.url, server.token("robot"))
        try:
            me = robot.local_participant
            me.register_rpc_method("greet", lambda data: f"hello {data.payload}")
            track = await me.publish_data_track(name="pose")

            async def pose() -> WatchedTrack:
                async with asyncio.timeout(DEADLINE_S):
                    while True:
                        view = await ada.engine.developer_view()
                        if view.tracks:
                            return view.tracks[0]
                        await asyncio.sleep(0.02)

            seen = await pose()
            await ada.engine.developer_watch(seen.identity, seen.name, True)
            async with asyncio.timeout(DEADLINE_S):
                while (await pose()).frames < 10:
                    track.try_push(rtc.DataTrackFrame(b"1.5"))
                    await asyncio.sleep(0.02)
            assert set((await pose()).numbers) == {1.5}

            answer = await ada.engine.developer_call(RpcRequest(me.identity, "greet", "Ada"))
            assert (answer.payload, answer.code) == ("hello Ada", 0)
            answer = await ada.engine.developer_call(RpcRequest(me.identity, "nothing"))
            assert answer.code == 1400
            people = (await ada.engine.developer_view()).people
            assert {person.identity for person in people} >= {me.identity}
        finally:
            await robot.disconnect()
