"""Two people: one shows a colour and plays a tone, the other watches and listens."""

import asyncio
import json
import sys

import numpy as np
from livekit import rtc

WIDTH, HEIGHT, RATE = 640, 360, 48000


async def play(source: rtc.AudioSource, hertz: int) -> None:
    samples = RATE // 100
    frame = rtc.AudioFrame.create(RATE, 1, samples)
    buffer = np.frombuffer(frame.data, dtype=np.int16)
    start = 0
    while True:
        time = (np.arange(samples) + start) / RATE
        np.copyto(buffer, (8000 * np.sin(2 * np.pi * hertz * time)).astype(np.int16))
        start += samples
        await source.capture_frame(frame)


async def draw(source: rtc.VideoSource) -> None:
    argb = bytearray(WIDTH * HEIGHT * 4)
    picture = np.frombuffer(argb, dtype=np.uint8).reshape(HEIGHT, WIDTH, 4)
    picture[:] = (255, 40, 160, 170)
    while True:
        source.capture_frame(rtc.VideoFrame(WIDTH, HEIGHT, rtc.VideoBufferType.ARGB, argb))
        await asyncio.sleep(1 / 15)


async def listen(track: rtc.Track) -> float:
    stream = rtc.AudioStream(track, sample_rate=24000, num_channels=1, frame_size_ms=20)
    heard = []
    async for event in stream:
        assert event.frame.sample_rate == 24000
        assert event.frame.samples_per_channel == 480
        heard.append(np.frombuffer(event.frame.data, dtype=np.int16).copy())
        if not heard[0].any():
            heard.clear()
        if len(heard) == 100:
            break
    await stream.aclose()
    sound = np.concatenate(heard[50:])
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(sound.size)))
    return float(spectrum.argmax() * 24000 / sound.size)


async def watch(track: rtc.Track) -> dict:
    stream = rtc.VideoStream(track, format=rtc.VideoBufferType.RGB24)
    frames = []
    async for event in stream:
        frames.append(event)
        if len(frames) == 15:
            break
    await stream.aclose()
    event = frames[-1]
    rgb = np.frombuffer(event.frame.data, dtype=np.uint8).reshape(HEIGHT, WIDTH, 3)
    rgba = event.frame.convert(rtc.VideoBufferType.I420).convert(rtc.VideoBufferType.RGBA)
    return {
        "size": [event.frame.width, event.frame.height],
        "type": rtc.VideoBufferType.Name(event.frame.type),
        "colour": [int(value) for value in rgb.mean(axis=(0, 1))],
        "converted": [int(value) for value in bytes(rgba.data[:4])],
        "rotation": int(event.rotation),
    }


async def main(url: str, speaker_token: str, listener_token: str) -> None:
    listener, speaker = rtc.Room(), rtc.Room()
    results: dict[str, asyncio.Future] = {
        name: asyncio.get_running_loop().create_future() for name in ("heard", "seen")
    }
    tasks = []

    async def fill(name: str, work) -> None:
        results[name].set_result(await work)

    @listener.on("track_subscribed")
    def on_track_subscribed(
        track: rtc.Track, publication: rtc.RemoteTrackPublication, who: rtc.RemoteParticipant
    ) -> None:
        assert who.identity == "speaker"
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            tasks.append(asyncio.create_task(fill("heard", listen(track))))
        elif track.kind == rtc.TrackKind.KIND_VIDEO:
            tasks.append(asyncio.create_task(fill("seen", watch(track))))

    await listener.connect(url, listener_token, options=rtc.RoomOptions(auto_subscribe=True))
    await speaker.connect(url, speaker_token)

    audio = rtc.AudioSource(RATE, 1)
    microphone = rtc.LocalAudioTrack.create_audio_track("sine", audio)
    options = rtc.TrackPublishOptions()
    options.source = rtc.TrackSource.SOURCE_MICROPHONE
    sound = await speaker.local_participant.publish_track(microphone, options)
    video = rtc.VideoSource(WIDTH, HEIGHT)
    camera = rtc.LocalVideoTrack.create_video_track("colour", video)
    options = rtc.TrackPublishOptions(
        source=rtc.TrackSource.SOURCE_CAMERA,
        simulcast=False,
        video_encoding=rtc.VideoEncoding(max_framerate=15, max_bitrate=800_000),
    )
    picture = await speaker.local_participant.publish_track(camera, options)
    tasks.append(asyncio.create_task(play(audio, 440)))
    tasks.append(asyncio.create_task(draw(video)))

    heard, seen = await results["heard"], await results["seen"]
    publications = speaker.local_participant.track_publications
    print(
        json.dumps(
            {
                "heard_hz": round(heard),
                "seen": seen,
                "published": sorted(p.name for p in publications.values()),
                "sources": [int(sound.source), int(picture.source)],
                "kinds": [rtc.TrackKind.Name(sound.kind), rtc.TrackKind.Name(picture.kind)],
                "sid_prefixes": [sound.sid[:3], camera.sid[:3]],
            }
        )
    )
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await audio.aclose()
    await video.aclose()
    await speaker.disconnect()
    await listener.disconnect()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
