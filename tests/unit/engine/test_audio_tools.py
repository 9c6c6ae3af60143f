"""Resampling, mixing, cleaning and pacing for scripts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from app.engine import rtc

DEADLINE_S = 30.0


def sine(freq_hz: float, samples: int, rate: int = 48_000, level: int = 8_000) -> rtc.AudioFrame:
    wave = (level * np.sin(np.arange(samples) * 2 * np.pi * freq_hz / rate)).astype(np.int16)
    return rtc.AudioFrame(wave.tobytes(), rate, 1, samples)


@pytest.mark.parametrize(
    ("source", "target"), [(48_000, 16_000), (16_000, 48_000), (44_100, 48_000)]
)
def test_a_tone_keeps_its_pitch_at_another_rate(source: int, target: int) -> None:
    resampler = rtc.AudioResampler(source, target, quality=rtc.AudioResamplerQuality.HIGH)
    whole = sine(440.0, source, source)
    out: list[rtc.AudioFrame] = []
    for start in range(0, source, 441):
        piece = bytearray(bytes(whole.data[start : start + 441].cast("B")))
        out.extend(resampler.push(piece))
    out.extend(resampler.flush())

    joined = rtc.combine_audio_frames(out)

    assert joined.sample_rate == target
    assert abs(joined.samples_per_channel - target) < target // 100
    sound = np.frombuffer(joined.data, np.int16)[target // 10 : -target // 10]
    peak = np.abs(np.fft.rfft(sound * np.hanning(sound.size))).argmax() * target / sound.size
    assert abs(peak - 440.0) < 3


async def stream(*frames: rtc.AudioFrame) -> AsyncIterator[rtc.AudioFrame]:
    for frame in frames:
        yield frame


async def test_the_mixer_adds_streams_and_ends_with_them() -> None:
    mixer = rtc.AudioMixer(48_000, 1, blocksize=4_800)
    mixer.add_stream(stream(*[sine(440.0, 4_800) for _ in range(3)]))
    mixer.add_stream(stream(*[sine(1_000.0, 2_400) for _ in range(4)]))
    mixer.end_input()

    frames = await asyncio.wait_for(_collect(mixer), DEADLINE_S)

    assert [frame.samples_per_channel for frame in frames] == [4_800] * 3
    both = np.abs(np.fft.rfft(np.frombuffer(frames[0].data, np.int16)))
    assert {int(i) * 10 for i in np.argsort(both)[-2:]} == {440, 1_000}
    with pytest.raises(RuntimeError):
        mixer.add_stream(stream())
    await mixer.aclose()


async def test_a_stream_that_stalls_is_left_out_and_not_lost() -> None:
    gate = asyncio.Event()

    async def late() -> AsyncIterator[rtc.AudioFrame]:
        await gate.wait()
        yield sine(1_000.0, 480)

    mixer = rtc.AudioMixer(48_000, 1, blocksize=480, stream_timeout_ms=5)
    mixer.add_stream(stream(*[sine(440.0, 480) for _ in range(2)]))
    mixer.add_stream(late())
    first = await asyncio.wait_for(anext(mixer), DEADLINE_S)
    gate.set()
    mixer.end_input()
    rest = await asyncio.wait_for(_collect(mixer), DEADLINE_S)

    assert np.array_equal(
        np.frombuffer(first.data, np.int16), np.frombuffer(sine(440, 480).data, np.int16)
    )
    assert any(np.abs(np.frombuffer(f.data, np.int16)).max() > 0 for f in rest)
    await mixer.aclose()


async def _collect(mixer: rtc.AudioMixer) -> list[rtc.AudioFrame]:
    return [frame async for frame in mixer]


async def test_loud_streams_are_limited_and_removed_ones_silent() -> None:
    endless = _endless()
    mixer = rtc.AudioMixer(48_000, 1, blocksize=480, capacity=1)
    mixer.add_stream(endless)
    mixer.add_stream(stream(*[sine(440.0, 480, level=30_000) for _ in range(50)]))
    frame = await asyncio.wait_for(anext(mixer), DEADLINE_S)
    mixer.remove_stream(endless)
    await mixer.aclose()

    assert np.abs(np.frombuffer(frame.data, np.int16).astype(int)).max() <= 32_768


async def _endless() -> AsyncIterator[rtc.AudioFrame]:
    while True:
        yield sine(440.0, 480, level=30_000)


def test_the_processing_module_takes_an_echo_out() -> None:
    module = rtc.AudioProcessingModule(echo_cancellation=True, high_pass_filter=True)
    module.set_stream_delay_ms(10)
    random = np.random.default_rng(1)
    played = (random.standard_normal(48_000 * 3) * 3_000).astype(np.int16)
    echo = (np.roll(played, 480) * 0.5).astype(np.int16)
    before, after = [], []
    for start in range(0, played.size, 480):
        far = rtc.AudioFrame(played[start : start + 480].tobytes(), 48_000, 1, 480)
        near = rtc.AudioFrame(echo[start : start + 480].tobytes(), 48_000, 1, 480)
        before.append(np.frombuffer(near.data, np.int16).copy())
        module.process_reverse_stream(far)
        module.process_stream(near)
        after.append(np.frombuffer(near.data, np.int16).copy())

    last = slice(-100, None)
    heard, left = np.concatenate(before[last]), np.concatenate(after[last])
    assert 20 * np.log10(np.std(heard) / max(1.0, float(np.std(left)))) > 20


def test_the_processing_module_wants_10_ms() -> None:
    with pytest.raises(RuntimeError, match="10 ms"):
        rtc.AudioProcessingModule(noise_suppression=True).process_stream(sine(440.0, 960))


async def test_the_synchronizer_shows_pictures_at_its_rate() -> None:
    shown: list[int] = []
    audio = rtc.AudioSource(48_000, 1)
    video = rtc.VideoSource(16, 16)
    video.add_sink(lambda picture, time_us: shown.append(time_us))
    sync = rtc.AVSynchronizer(audio_source=audio, video_source=video, video_fps=100)
    frame = rtc.VideoFrame(16, 16, rtc.VideoBufferType.I420, bytes(16 * 16 * 3 // 2))

    await sync.push(sine(440.0, 4_800), 0.1)
    for number in range(10):
        await sync.push(frame, number / 100)
    await asyncio.wait_for(sync.wait_for_playout(), DEADLINE_S)

    assert len(shown) == 10
    assert (shown[-1] - shown[0]) / 1e6 >= 0.080
    assert sync.actual_fps > 0
    assert sync.last_video_time == 0.09
    assert sync.last_audio_time == pytest.approx(0.1)
    await sync.push(frame)
    await sync.clear_queue()
    sync.reset()
    await sync.aclose()
    await audio.aclose()
