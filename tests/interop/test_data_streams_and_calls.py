"""Streams and calls of both versions: official SDKs through our server, and with our engine."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.engine import rtc, stream_sending
from app.engine.local_participant import PublishDataError
from app.engine.rpc import RpcDesk
from app.protocol import compat
from tests.support.engine_peer import DEADLINE_S, EnginePeer
from tests.support.engine_server import ServerUnderTest, named_server, our_server
from tests.support.sdk_peer import SdkPeer

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("network")]

LONG_TEXT = "Grüße aus dem Zug 🚆 " * 3_000
LARGE_PAYLOAD = "é🚆x" * 40_000
LINE = "a" * 20_000


@pytest.fixture
async def server() -> AsyncIterator[ServerUnderTest]:
    """The named server when there is one, else ours."""
    named = named_server()
    if named is not None:
        yield named
        return
    async with our_server() as ours:
        yield ours


@pytest.fixture
async def sally(server: ServerUnderTest) -> AsyncIterator[SdkPeer]:
    async with SdkPeer("sally") as peer:
        await peer.connect(server.url, server.token("sally"))
        await peer.call("answer_calls")
        for topic in ("chat", "files"):
            await peer.call("listen", topic=topic)
        yield peer


@pytest.fixture
async def sam(server: ServerUnderTest, sally: SdkPeer) -> AsyncIterator[SdkPeer]:
    async with SdkPeer("sam") as peer:
        await peer.connect(server.url, server.token("sam"))
        await sally.wait_event("participant_connected", identity="sam")
        yield peer


@pytest.fixture
async def ernie(
    request: pytest.FixtureRequest,
    server: ServerUnderTest,
    sally: SdkPeer,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[EnginePeer]:
    """Our engine, announcing the data protocol that the test asks for, else its own."""
    protocol = getattr(request, "param", compat.DATA_PROTOCOL)
    monkeypatch.setattr("app.engine.signalling.DATA_PROTOCOL", protocol)
    if protocol < compat.DATA_PROTOCOL:
        monkeypatch.setattr("app.engine.signalling.DATA_CAPABILITIES", ())
    async with EnginePeer("ernie") as peer:
        await peer.room.connect(server.url, server.token("ernie"))
        await sally.wait_event("participant_connected", identity="ernie")
        yield peer


def answers(room: rtc.Room) -> None:
    """Answer the calls that `SdkPeer.answer_calls` answers."""
    counted = 0

    def refuse(_data: rtc.RpcInvocationData) -> str:
        raise rtc.RpcError(7, "nope", "why")

    def count(_data: rtc.RpcInvocationData) -> str:
        nonlocal counted
        counted += 1
        return str(counted)

    me = room.local_participant
    me.register_rpc_method("echo", lambda data: f"{data.caller_identity}:{data.payload}")
    me.register_rpc_method("refuse", refuse)
    me.register_rpc_method("count", count)


async def test_the_sdks_speak_the_newer_forms_to_each_other_through_us(
    sally: SdkPeer, sam: SdkPeer
) -> None:
    await sam.call("send_text", text="short", topic="chat", attributes={"k": "v"})
    await sam.call("send_text", text=LONG_TEXT, topic="chat", to=["sally"])
    await sam.call("write_text", pieces=["one ", "two"], topic="chat", attributes={"end": "1"})
    await sam.call("write_text", pieces=["half"], topic="chat", abort="interrupted")
    sent = await sam.call("send_file", size=2_000_000, topic="files", name="a.bin")

    inbox = await sally.call("wait_inbox", count=5, within_s=DEADLINE_S)

    texts = [item for item in inbox if item["kind"] == "text" and "text" in item]
    assert sorted(item["text"] for item in texts) == sorted(["short", LONG_TEXT, "one two"])
    assert {"k": "v"} in [item["attributes"] for item in texts]
    assert {"end": "1"} in [item["attributes"] for item in texts]
    assert sum("error" in item for item in inbox) == 1
    (file,) = [item for item in inbox if item["kind"] == "file"]
    assert (file["sha256"], file["size"]) == (sent, 2_000_000)


async def test_the_sdks_call_each_other_through_us(sally: SdkPeer, sam: SdkPeer) -> None:
    async def call(method: str, payload: str = "", **options: Any) -> dict[str, Any]:
        answer: dict[str, Any] = await sam.call(
            "call_peer", to="sally", method=method, payload=payload, **options
        )
        return answer

    assert (await call("echo", "hi"))["payload"] == "sam:hi"
    assert (await call("echo", LARGE_PAYLOAD))["payload"] == f"sam:{LARGE_PAYLOAD}"
    assert await call("refuse") == {"code": 7, "message": "nope", "data": "why"}
    assert (await call("fail"))["code"] == 1500
    assert (await call("missing"))["code"] == 1400
    assert [(await call("count"))["payload"] for _ in range(3)] == ["1", "2", "3"]


@pytest.mark.parametrize("ernie", [2, 1, 0], indirect=True)
async def test_calls_go_both_ways_between_sdk_and_engine(sally: SdkPeer, ernie: EnginePeer) -> None:
    answers(ernie.room)
    me = ernie.room.local_participant

    async def call(method: str, payload: str = "", **times: float) -> str:
        return await me.perform_rpc(
            destination_identity="sally", method=method, payload=payload, **times
        )

    async def code_of(method: str, payload: str = "", **times: float) -> int:
        with pytest.raises(rtc.RpcError) as raised:
            await call(method, payload, **times)
        return int(raised.value.code)

    assert await call("echo", "hi") == "ernie:hi"
    assert await code_of("refuse") == 7
    assert await code_of("fail") == 1500
    assert await code_of("missing") == 1400
    assert await code_of("slow", response_timeout=1.0) == 1502

    async def asked(method: str, payload: str = "") -> dict[str, Any]:
        answer: dict[str, Any] = await sally.call(
            "call_peer", to="ernie", method=method, payload=payload
        )
        return answer

    assert (await asked("echo", "hi"))["payload"] == "sally:hi"
    assert await asked("refuse") == {"code": 7, "message": "nope", "data": "why"}
    assert (await asked("missing"))["code"] == 1400
    assert [(await asked("count"))["payload"] for _ in range(2)] == ["1", "2"]

    # The caller decides the form by what the other one announced.
    protocol = ernie.room.local_participant.info.client_protocol
    assert await call("echo", LARGE_PAYLOAD) == f"ernie:{LARGE_PAYLOAD}"
    large = await asked("echo", LARGE_PAYLOAD)
    if protocol == 0:
        assert large["code"] == 1402
    else:
        assert large["payload"] == f"sally:{LARGE_PAYLOAD}"


@pytest.mark.parametrize("ernie", [2, 0], indirect=True)
async def test_whole_texts_and_files_go_both_ways_between_sdk_and_engine(
    sally: SdkPeer, ernie: EnginePeer, tmp_path: Path
) -> None:
    texts: asyncio.Queue[tuple[str, dict[str, str] | None]] = asyncio.Queue()
    files: asyncio.Queue[str] = asyncio.Queue()
    tasks: list[asyncio.Task[None]] = []

    async def read_text(reader: rtc.TextStreamReader) -> None:
        texts.put_nowait((await reader.read_all(), reader.info.attributes))

    async def read_file(reader: rtc.ByteStreamReader) -> None:
        digest = hashlib.sha256()
        async for piece in reader:
            digest.update(piece)
        files.put_nowait(digest.hexdigest())

    loop = asyncio.get_running_loop()
    room = ernie.room
    room.register_text_stream_handler(
        "chat", lambda r, _: tasks.append(loop.create_task(read_text(r)))
    )
    room.register_byte_stream_handler(
        "files", lambda r, _: tasks.append(loop.create_task(read_file(r)))
    )

    for text in ("short", LONG_TEXT, LINE, ""):
        await sally.call("send_text", text=text, topic="chat", attributes={"k": "v"})
        assert await asyncio.wait_for(texts.get(), DEADLINE_S) == (text, {"k": "v"})
        await room.local_participant.send_text(text, topic="chat", reply_to_id="r")
    theirs = await sally.call("send_file", size=500_000, topic="files")
    assert await asyncio.wait_for(files.get(), DEADLINE_S) == theirs

    path = tmp_path / "ours.txt"
    path.write_text(LONG_TEXT * 3)
    progress: list[float] = []
    await stream_sending.send_text_with_files(
        room.local_participant, "see", [path], topic="chat", on_progress=progress.append
    )
    inbox = await sally.call("wait_inbox", count=6, within_s=DEADLINE_S)

    got = [item for item in inbox if item["kind"] == "text"]
    assert sorted(item["text"] for item in got) == sorted(["short", LONG_TEXT, LINE, "", "see"])
    (file,) = [item for item in inbox if item["kind"] == "file"]
    assert file["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    (with_file,) = [item for item in got if item["text"] == "see"]
    assert with_file["attached"] == [file["id"]]
    assert progress == sorted(progress)
    assert progress[-1] == 1.0


async def test_a_text_that_the_sdk_breaks_off_is_an_error(
    sally: SdkPeer, ernie: EnginePeer
) -> None:
    outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    tasks: list[asyncio.Task[None]] = []

    async def read(reader: rtc.TextStreamReader) -> None:
        try:
            outcome.set_result(await reader.read_all())
        except rtc.StreamError as error:
            outcome.set_result(f"error {error.description}")

    ernie.room.register_text_stream_handler(
        "chat", lambda r, _: tasks.append(asyncio.get_running_loop().create_task(read(r)))
    )

    await sally.call("write_text", pieces=["half "], topic="chat", abort="interrupted")

    assert "interrupted" in await asyncio.wait_for(outcome, DEADLINE_S)


async def test_what_nobody_may_send_is_refused_and_the_room_goes_on(
    sally: SdkPeer, ernie: EnginePeer
) -> None:
    me = ernie.room.local_participant

    with pytest.raises(PublishDataError):
        await me.publish_data(os.urandom(65_000))
    with pytest.raises(rtc.StreamError):
        await me.send_text("x", topic="chat", attributes={"k": "v" * 16_000})
    await me.send_text("still here", topic="chat")

    inbox = await sally.call("wait_inbox", count=1, within_s=DEADLINE_S)
    assert inbox[0]["text"] == "still here"


def test_calls_are_kept_from_scripts() -> None:
    room = rtc.Room()

    with pytest.raises(ValueError, match="already set"):
        room.register_text_stream_handler("lk.rpc_request", lambda _reader, _identity: None)
    assert isinstance(room._rpc, RpcDesk)
