"""What the panel does, as a script that runs with the official SDK or with Lanai's engine.

Address and token are read from the environment: a script that is passed on must not carry them.
"""

from __future__ import annotations

from app.engine.developer import RpcRequest

_FRAME = '''"""{title}

Set LIVEKIT_URL (ws:// and the address in the invitation) and LIVEKIT_TOKEN first. On the computer
that hosts the meeting `python main.py token --hosted --room ROOM --identity script` prints a token.
"""

import asyncio
import os

try:
    from livekit import rtc
except ImportError:
    from app.engine import rtc


async def main() -> None:
    room = rtc.Room()
{before}    await room.connect(os.environ["LIVEKIT_URL"], os.environ["LIVEKIT_TOKEN"])
    try:
{body}    finally:
        await room.disconnect()


asyncio.run(main())
'''


def _script(title: str, body: str, before: str = "") -> str:
    indented = "".join(f"        {line}".rstrip() + "\n" for line in body.splitlines())
    earlier = "".join(f"    {line}".rstrip() + "\n" for line in before.splitlines())
    return _FRAME.format(title=title, body=indented, before=earlier)


def call_script(request: RpcRequest) -> str:
    """Call the same method of the same person."""
    body = f"""\
try:
    answer = await room.local_participant.perform_rpc(
        destination_identity={request.identity!r},
        method={request.method!r},
        payload={request.payload!r},
        response_timeout={request.timeout_s!r},
    )
    print(answer)
except rtc.RpcError as error:
    print("error", error.code, error.message, error.data)"""
    return _script("Call a method of somebody in the room.", body)


def track_script(identity: str, name: str) -> str:
    """Read the same data track."""
    before = f"""\
found = asyncio.get_running_loop().create_future()


def on_published(track: rtc.RemoteDataTrack) -> None:
    wanted = ({identity!r}, {name!r})
    if (track.publisher_identity, track.info.name) == wanted and not found.done():
        found.set_result(track)


room.on("data_track_published", on_published)"""
    body = """\
track = await found
async for frame in track.subscribe():
    print(frame.user_timestamp, frame.payload)"""
    return _script("Read a data track.", body, before)


def attributes_script(identity: str) -> str:
    """Follow the same person's attributes."""
    before = f"""\
def on_changed(changed: dict[str, str], person: rtc.Participant) -> None:
    if person.identity == {identity!r}:
        print(changed)


room.on("participant_attributes_changed", on_changed)"""
    body = f"""\
everybody = [room.local_participant, *room.remote_participants.values()]
for person in everybody:
    if person.identity == {identity!r}:
        print(dict(person.attributes))
await asyncio.Event().wait()"""
    return _script("Follow somebody's attributes.", body, before)
