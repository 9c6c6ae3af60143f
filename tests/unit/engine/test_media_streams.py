"""Sound and pictures of a subscription as async iterators."""

from __future__ import annotations

import asyncio
import queue
import time

import numpy as np
import pytest
from livekit.protocol import models as lk

from app.engine import rtc
from app.engine.ring import FrameRing
from app.engine.track import RemoteAudioTrack, RemoteVideoTrack
from app.engine.video_source import BLACK_INTERVAL_S
from app.media.encode.audio import OpusEncoder
from app.media.frames import Picture
from app.protocol.rtp.encoded import AudioPacket
from tests.support.fake_session import (
    FakeAudioReceiver,
    FakeVideoReceiver,
    person,
    track_info,
)
from tests.support.pictures import encoded_frames

DEADLINE_S = 30.0


class Half(rtc.FrameProcessor[rtc.AudioFrame]):
    """Halves the sound; or fails."""

    def __init__(self, *, fails: bool = False) -> None:
        self._enabled = True
        self.fails = fails
        self.closed = False

    @property
    def enabled(self) -> bool:
        return self._enabled

    @enabled.setter
    def enabled(self, value: bool) -> None:
        self._enabled = value

    def _process(self, frame: rtc.AudioFrame) -> rtc.AudioFrame:
        if self.fails:
            raise ValueError
        return rtc.AudioFrame.from_pcm(frame.to_pcm() // 2, frame.sample_rate)

    def _close(self) -> None:
        self.closed = True


def audio_track() -> tuple[FakeAudioReceiver, RemoteAudioTrack]:
    receiver = FakeAudioReceiver()
    return receiver, RemoteAudioTrack(receiver, sid="TR_a", name="mic", muted=False)


def video_track() -> tuple[FakeVideoReceiver, RemoteVideoTrack]:
    receiver = FakeVideoReceiver()
    track = RemoteVideoTrack(receiver, sid="TR_v", name="cam", muted=False, codec="VP8")
    return receiver, track


def deliver_tone(receiver: FakeAudioReceiver, packets: int = 50) -> None:
    """Hand over a second of a tone at once, as if it had just arrived in time."""
    encoder, started_s = OpusEncoder(), time.monotonic()
    for seq in range(packets):
        wave = 8_000 * np.sin(2 * np.pi * 440 / 48_000 * np.arange(seq * 960, (seq + 1) * 960))
        payload = encoder.encode(wave.astype(np.int16).reshape(-1, 1))
        arrival_s = started_s - (packets - seq) * 0.020
        receiver.deliver(AudioPacket(seq, seq * 960, payload, arrival_s))


async def take(stream: rtc.AudioStream, count: int) -> list[rtc.AudioFrame]:
    frames: list[rtc.AudioFrame] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(frames) < count:
            frames.append((await anext(stream)).frame)
    return frames


@pytest.mark.parametrize(("rate", "channels", "frame_ms"), [(48_000, 1, 10), (16_000, 2, 20)])
async def test_sound_comes_in_frames_of_the_format_asked_for(
    rate: int, channels: int, frame_ms: int
) -> None:
    receiver, track = audio_track()
    stream = rtc.AudioStream.from_track(
        track=track, sample_rate=rate, num_channels=channels, frame_size_ms=frame_ms
    )
    deliver_tone(receiver)

    frames = await take(stream, 20)
    await stream.aclose()
    # What had come before the end is still handed out.
    async with asyncio.timeout(DEADLINE_S):
        frames += [event.frame async for event in stream]

    assert {f.sample_rate for f in frames} == {rate}
    assert {f.num_channels for f in frames} == {channels}
    assert {f.samples_per_channel for f in frames} == {rate * frame_ms // 1000}
    assert any(np.abs(f.to_pcm()).max() > 4_000 for f in frames)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_sound_ends_with_the_subscription() -> None:
    _receiver, track = audio_track()
    stream = rtc.AudioStream(track)

    track.handle_end()

    assert [event async for event in stream] == []
    assert [event async for event in rtc.AudioStream(track)] == []


async def test_a_processor_changes_frames_and_its_failure_lets_them_pass() -> None:
    import structlog.testing

    receiver, track = audio_track()
    half, broken = Half(), Half(fails=True)
    plain = rtc.AudioStream(track)
    halved = rtc.AudioStream(track, noise_cancellation=half)
    passed = rtc.AudioStream(track, noise_cancellation=broken)
    with structlog.testing.capture_logs() as logs:
        deliver_tone(receiver)
        loud, quiet, same = [
            max(int(np.abs(f.to_pcm()).max()) for f in await take(stream, 30))
            for stream in (plain, halved, passed)
        ]
        for stream in (plain, halved, passed):
            await stream.aclose()

    assert quiet < loud * 0.75
    assert same > loud * 0.75
    assert half.closed
    assert {entry["event"] for entry in logs} == {
        "frame processor failed, the frame passes as it was"
    }


async def test_a_participants_stream_goes_on_with_the_next_track() -> None:
    anna = rtc.RemoteParticipant(person("anna"))
    stream = rtc.AudioStream.from_participant(
        participant=anna, track_source=rtc.TrackSource.SOURCE_MICROPHONE
    )
    for sid in ("TR_1", "TR_2"):
        publication = rtc.RemoteTrackPublication(track_info(sid), anna.sid, None)  # type: ignore[arg-type]
        anna.add_publication(publication)
        receiver, track = audio_track()
        publication.attach_track(track)
        anna.tell_watchers(publication)
        deliver_tone(receiver, packets=10)
        assert len(await take(stream, 5)) == 5
        track.handle_end()
        publication.attach_track(None)

    anna.tell_watchers(None)
    async with asyncio.timeout(DEADLINE_S):
        assert isinstance([event async for event in stream], list)


async def test_ones_own_sound_can_be_heard() -> None:
    source = rtc.AudioSource(48_000, 1, queue_size_ms=0)
    track = rtc.LocalAudioTrack.create_audio_track("mic", source)
    stream = rtc.AudioStream(track)
    wave = (np.arange(960) % 100).astype(np.int16)

    await source.capture_frame(rtc.AudioFrame(wave.tobytes(), 48_000, 1, 960))
    frames = await take(stream, 2)
    await stream.aclose()

    assert np.array_equal(np.concatenate([f.to_pcm() for f in frames])[:, 0], wave)


async def test_pictures_come_in_the_format_asked_for_with_rising_times() -> None:
    receiver, track = video_track()
    stream = rtc.VideoStream(track, format=rtc.VideoBufferType.RGBA)
    for frame in encoded_frames(5):
        receiver.deliver(frame)

    events = []
    async with asyncio.timeout(DEADLINE_S):
        async for event in stream:
            events.append(event)
            if len(events) == 5:
                break
    await stream.aclose()

    assert {(e.frame.width, e.frame.height, e.frame.type) for e in events} == {
        (640, 360, rtc.VideoBufferType.RGBA)
    }
    steps = np.diff([event.timestamp_us for event in events])
    assert np.all(np.abs(steps - 66_667) <= 1)
    assert receiver.keyframe_requests == 1


async def test_nothing_is_decoded_while_nobody_looks() -> None:
    receiver, track = video_track()
    assert receiver.sink is None

    first, second = rtc.VideoStream(track), rtc.VideoStream(track)
    assert receiver.sink is not None
    await first.aclose()
    assert receiver.sink is not None
    await second.aclose()

    assert receiver.sink is None


async def test_a_slow_reader_loses_the_oldest_frames() -> None:
    ring: FrameRing[int] = FrameRing(asyncio.get_running_loop(), 3)
    for number in range(5):
        ring.put(number)
    ring.end()

    got = [await ring.get() for _ in range(3)]

    assert got == [2, 3, 4]
    assert ring.dropped == 2
    with pytest.raises(StopAsyncIteration):
        await ring.get()


async def test_a_stream_wants_a_track_of_its_kind() -> None:
    _, audio = audio_track()
    _, video = video_track()

    with pytest.raises(TypeError):
        rtc.AudioStream(video)
    with pytest.raises(TypeError):
        rtc.VideoStream(audio)
    with pytest.raises(NotImplementedError, match="filter modules"):
        rtc.AudioStream(audio, noise_cancellation=rtc.NoiseCancellationOptions("m", {}))


@pytest.mark.parametrize(
    ("rotation", "size", "corner"),
    [(0, (4, 2), 1), (90, (2, 4), 5), (180, (4, 2), 8), (270, (2, 4), 4)],
)
def test_captured_pictures_are_turned_upright(
    rotation: int, size: tuple[int, int], corner: int
) -> None:
    luma = np.arange(1, 9, dtype=np.uint8)  # 1 2 3 4 over 5 6 7 8
    chroma = np.array([10, 20, 30, 40], np.uint8)
    frame = rtc.VideoFrame(4, 2, rtc.VideoBufferType.I420, np.concatenate([luma, chroma]).tobytes())
    source, got = rtc.VideoSource(4, 2), []
    source.add_sink(lambda picture, time_us: got.append(picture))

    source.capture_frame(frame, rotation=rtc.VideoRotation.Value(f"VIDEO_ROTATION_{rotation}"))

    assert (got[0].width, got[0].height) == size
    assert got[0].luma[0, 0] == corner
    assert got[0].rotation == 0


def test_a_source_shows_black_until_its_first_picture_and_never_behind_it() -> None:
    source = rtc.VideoSource(4, 2)
    got: queue.Queue[Picture] = queue.Queue()
    source.add_sink(lambda picture, time_us: got.put(picture))
    for _ in range(2):
        black = got.get(timeout=30)
        assert black.luma.tolist() == [[16] * 4] * 2
        assert [plane.tolist() for plane in black.planes()[1:]] == [[[128, 128]]] * 2

    white = rtc.VideoFrame(4, 2, rtc.VideoBufferType.I420, bytes([235] * 8 + [128] * 4))
    source.capture_frame(white)
    time.sleep(3 * BLACK_INTERVAL_S)

    seen = [int(got.get_nowait().luma[0, 0]) for _ in range(got.qsize())]
    assert seen[-1] == 235
    assert seen.count(235) == 1


def test_a_source_that_had_a_picture_shows_no_black_to_a_later_track() -> None:
    source = rtc.VideoSource(4, 2)
    source.capture_frame(rtc.VideoFrame(4, 2, rtc.VideoBufferType.I420, bytes(12)))
    got: list[Picture] = []
    source.add_sink(lambda picture, time_us: got.append(picture))
    time.sleep(2 * BLACK_INTERVAL_S)
    assert not got


def test_unknown_numbers_of_the_wire_are_no_reason_to_fail() -> None:
    who = rtc.RemoteParticipant(
        lk.ParticipantInfo(sid="PA_x", identity="x", kind=77, disconnect_reason=99)  # type: ignore[arg-type]
    )

    assert who.kind == rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD
    assert who.disconnect_reason is None
    assert who.joined_at is None
    agent = rtc.RemoteParticipant(person("a", kind=lk.ParticipantInfo.CONNECTOR))
    assert agent.kind == rtc.ParticipantKind.PARTICIPANT_KIND_CONNECTOR == 5
