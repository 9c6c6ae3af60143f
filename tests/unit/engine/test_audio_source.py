"""Sound leaves its source evenly, waits when there is too much, and says when it is out."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import numpy as np
import pytest

from app.engine import rtc
from app.media.frames import Pcm
from tests.support.signals import tone_peak

DEADLINE_S = 30.0


class Sink:
    """Keeps the blocks that a source lets go."""

    def __init__(self) -> None:
        self.blocks: list[tuple[Pcm, int]] = []
        self.threads: set[int] = set()

    def __call__(self, pcm: Pcm, position: int) -> None:
        self.blocks.append((pcm, position))
        self.threads.add(threading.get_ident())

    def sound(self) -> Pcm:
        return np.concatenate([pcm for pcm, _ in self.blocks])


@pytest.fixture
async def opened() -> AsyncIterator[list[rtc.AudioSource]]:
    sources: list[rtc.AudioSource] = []
    yield sources
    for source in sources:
        await source.aclose()


def make(
    opened: list[rtc.AudioSource], rate: int = 48_000, channels: int = 1, queue_size_ms: int = 1000
) -> tuple[rtc.AudioSource, Sink]:
    source, sink = rtc.AudioSource(rate, channels, queue_size_ms), Sink()
    source.add_sink(sink)
    opened.append(source)
    return source, sink


def tone(samples: int, rate: int = 48_000, channels: int = 1) -> rtc.AudioFrame:
    wave = (8_000 * np.sin(np.arange(samples) * 2 * np.pi * 440 / rate)).astype(np.int16)
    return rtc.AudioFrame(np.repeat(wave, channels).tobytes(), rate, channels, samples)


async def test_what_is_captured_comes_out_whole_in_blocks_of_20_ms(
    opened: list[rtc.AudioSource],
) -> None:
    source, sink = make(opened)
    frame = tone(4_800 + 100)

    await source.capture_frame(frame)
    assert 0.0 < source.queued_duration <= 0.11
    await asyncio.wait_for(source.wait_for_playout(), DEADLINE_S)

    assert source.queued_duration == 0.0
    assert {pcm.shape for pcm, _ in sink.blocks} == {(960, 1)}
    assert np.array_equal(sink.sound()[:4_900, 0], np.frombuffer(frame.data, np.int16))
    assert not sink.sound()[4_900:].any()
    assert [position for _, position in sink.blocks[:5]] == [0, 960, 1_920, 2_880, 3_840]
    assert threading.get_ident() not in sink.threads


async def test_a_full_queue_makes_the_capturer_wait(opened: list[rtc.AudioSource]) -> None:
    source, sink = make(opened, queue_size_ms=40)
    loop = asyncio.get_running_loop()

    started_s = loop.time()
    await source.capture_frame(tone(9_600))

    # 200 ms of sound and room for 40: the call lasts at least until the rest fits.
    assert loop.time() - started_s >= 0.100
    assert source.queued_duration <= 0.040
    assert len(sink.blocks) >= 5


async def test_clearing_lets_everybody_go_on(opened: list[rtc.AudioSource]) -> None:
    source, _sink = make(opened, queue_size_ms=40)
    capturing = asyncio.ensure_future(source.capture_frame(tone(480_000)))
    await asyncio.sleep(0)
    playing = asyncio.ensure_future(source.wait_for_playout())
    await asyncio.sleep(0)

    source.clear_queue()
    await asyncio.wait_for(playing, DEADLINE_S)
    await source.aclose()
    await asyncio.wait_for(capturing, DEADLINE_S)

    assert source.queued_duration == 0.0


async def test_another_rate_is_converted(opened: list[rtc.AudioSource]) -> None:
    source, sink = make(opened, rate=16_000, queue_size_ms=2_000)

    await source.capture_frame(tone(16_000, rate=16_000))
    await asyncio.wait_for(source.wait_for_playout(), DEADLINE_S)

    sound = sink.sound()[:, 0]
    assert 47_000 <= np.flatnonzero(sound)[-1] <= 49_000
    assert tone_peak(sound[4_800:43_200]).is_tone(440.0)


async def test_stereo_stays_stereo_and_more_channels_become_stereo(
    opened: list[rtc.AudioSource],
) -> None:
    source, sink = make(opened, channels=2, queue_size_ms=0)
    many, many_sink = make(opened, channels=6, queue_size_ms=0)

    await source.capture_frame(tone(960, channels=2))
    await many.capture_frame(tone(960, channels=6))

    assert sink.sound().shape == many_sink.sound().shape == (960, 2)


async def test_without_a_queue_sound_goes_on_at_once_on_the_capturing_thread(
    opened: list[rtc.AudioSource],
) -> None:
    source, sink = make(opened, queue_size_ms=0)
    frame = tone(480)

    await source.capture_frame(frame)
    assert sink.blocks == []
    source.feed_pcm(frame.to_pcm())

    assert len(sink.blocks) == 1
    assert sink.threads == {threading.get_ident()}


async def test_a_frame_of_another_format_is_refused(opened: list[rtc.AudioSource]) -> None:
    source, _sink = make(opened)

    with pytest.raises(ValueError, match="don't match"):
        await source.capture_frame(tone(480, rate=16_000))


async def test_nothing_to_play_is_no_reason_to_wait(opened: list[rtc.AudioSource]) -> None:
    source, sink = make(opened)

    await asyncio.wait_for(source.wait_for_playout(), DEADLINE_S)
    await source.capture_frame(rtc.AudioFrame.create(48_000, 1, 0))
    await source.aclose()
    await source.capture_frame(tone(960))

    assert sink.blocks == []


async def test_a_removed_sink_hears_nothing(opened: list[rtc.AudioSource]) -> None:
    source, sink = make(opened, queue_size_ms=0)
    source.remove_sink(sink)

    await source.capture_frame(tone(960))

    assert sink.blocks == []
