"""Two people: calls, errors, and the events of coming, muting and leaving."""

import asyncio
import json
import sys

from livekit import rtc


async def main(url: str, caller_token: str, callee_token: str) -> None:
    caller, callee = rtc.Room(), rtc.Room()
    log: list = []
    news = asyncio.Event()

    def note(*entry) -> None:
        log.append(list(entry))
        news.set()

    async def until(*entry) -> None:
        async with asyncio.timeout(20):
            while list(entry) not in log:
                news.clear()
                await news.wait()

    @caller.on("participant_connected")
    def connected(who: rtc.RemoteParticipant) -> None:
        note("connected", who.identity)

    @caller.on("participant_disconnected")
    def disconnected(who: rtc.RemoteParticipant) -> None:
        note("disconnected", who.identity, rtc.DisconnectReason.Name(who.disconnect_reason))

    @caller.on("track_published")
    def published(publication: rtc.RemoteTrackPublication, who: rtc.RemoteParticipant) -> None:
        note("published", publication.name, who.identity, publication.subscribed)

    @caller.on("track_subscribed")
    def subscribed(track: rtc.Track, publication, who) -> None:
        note("subscribed", track.name, type(track).__name__)

    @caller.on("track_muted")
    def muted(who: rtc.Participant, publication: rtc.TrackPublication) -> None:
        note("muted", who.identity, publication.muted)

    @caller.on("track_unmuted")
    def unmuted(who: rtc.Participant, publication: rtc.TrackPublication) -> None:
        note("unmuted", who.identity, publication.muted)

    @caller.on("track_unpublished")
    def unpublished(publication, who) -> None:
        note("unpublished", publication.name)

    await caller.connect(url, caller_token, rtc.RoomOptions(auto_subscribe=False))
    await callee.connect(url, callee_token)
    await until("connected", "callee")

    @callee.local_participant.register_rpc_method("greet")
    async def greet(data: rtc.RpcInvocationData) -> str:
        return f"hello {data.caller_identity}: {data.payload}"

    def refuse(data: rtc.RpcInvocationData) -> str:
        raise rtc.RpcError(42, "not today", "tomorrow")

    callee.local_participant.register_rpc_method("refuse", refuse)
    answer = await caller.local_participant.perform_rpc(
        destination_identity="callee", method="greet", payload="hi", response_timeout=10
    )
    note("answer", answer)
    for method in ("refuse", "unknown"):
        try:
            await caller.local_participant.perform_rpc(
                destination_identity="callee", method=method, payload=""
            )
        except rtc.RpcError as error:
            note("error", error.code, error.message, error.data or "")

    source = rtc.AudioSource(48000, 1)
    track = rtc.LocalAudioTrack.create_audio_track("mic", source)
    publication = await callee.local_participant.publish_track(
        track, rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
    )
    await until("published", "mic", "callee", False)
    remote = caller.remote_participants["callee"].track_publications[publication.sid]
    remote.set_subscribed(True)
    frame = rtc.AudioFrame.create(48000, 1, 480)
    for _ in range(50):
        await source.capture_frame(frame)
    await until("subscribed", "mic", "RemoteAudioTrack")
    await publication.wait_for_subscription()
    track.mute()
    await until("muted", "callee", True)
    track.unmute()
    await until("unmuted", "callee", False)
    await callee.local_participant.unpublish_track(publication.sid)
    await until("unpublished", "mic")
    await callee.disconnect()
    await until("disconnected", "callee", "CLIENT_INITIATED")
    await source.aclose()
    await caller.disconnect()
    note("state", rtc.ConnectionState.Name(caller.connection_state), caller.isconnected())
    try:
        await rtc.Room().connect(url, "no token")
    except rtc.ConnectError:
        note("refused")
    print(json.dumps(log))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
