"""Echo goes, voice stays."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from structlog.testing import capture_logs

from app.media.frames import BLOCK_SAMPLES, SAMPLE_RATE_HZ, Pcm
from app.media.process.processor import (
    PLAYED_CAPACITY_BLOCKS,
    PassThrough,
    WebRtcProcessor,
    make_processor,
)
from tests.support.signals import level_db
from tests.support.voices import steady_tone, voice_like

SECOND = SAMPLE_RATE_HZ


def loud_voice(seconds: float) -> Pcm:
    """Return a voice at the level at which people speak into a microphone."""
    voice: Pcm = np.clip(voice_like(seconds).astype(int) * 2, -32_768, 32_767).astype(np.int16)
    return voice


def echo_of(played: Pcm, delay_ms: int = 60, seed: int = 7) -> Pcm:
    """Return what a microphone in a small room hears of a speaker."""
    rng = np.random.default_rng(seed)
    taps = rng.normal(0, 1, 2_400) * np.exp(-np.arange(2_400) / 400)
    taps *= 0.5 / np.sqrt(np.sum(taps**2))
    delayed = np.concatenate((np.zeros(delay_ms * 48), played[:, 0].astype(float)))
    heard = np.convolve(delayed, taps)[: played.shape[0]]
    return np.clip(heard, -32_768, 32_767).astype(np.int16)[:, None]


def run(processor: WebRtcProcessor, near: Pcm, played: Pcm) -> Pcm:
    stereo = np.repeat(played, 2, axis=1)
    blocks = []
    for start in range(0, near.shape[0] - BLOCK_SAMPLES + 1, BLOCK_SAMPLES):
        processor.note_played(stereo[start : start + BLOCK_SAMPLES])
        blocks.append(processor.process(near[start : start + BLOCK_SAMPLES]))
    return np.concatenate(blocks)


@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize("delay_ms", [20, 60, 150])
def test_a_synthetic_echo_is_reduced_by_25_db(noise: bool, delay_ms: int) -> None:
    played = loud_voice(8)
    near = echo_of(played, delay_ms)

    clean = run(WebRtcProcessor(noise=noise), near, played)

    assert level_db(near[4 * SECOND :]) > -30
    assert level_db(near[4 * SECOND :]) - level_db(clean[4 * SECOND :]) >= 25


def test_a_voice_in_a_quiet_room_is_left_as_loud_as_it_was() -> None:
    voice = voice_like(6)
    silence = np.zeros_like(voice)

    clean = run(WebRtcProcessor(), voice, silence)

    assert level_db(clean[2 * SECOND :]) == pytest.approx(level_db(voice[2 * SECOND :]), abs=4)


def test_one_s_own_voice_survives_while_others_speak() -> None:
    played = loud_voice(10)
    voice = np.roll(voice_like(10), 9_000, axis=0)
    near = (echo_of(played).astype(int) + voice).clip(-32_768, 32_767).astype(np.int16)

    clean = run(WebRtcProcessor(), near, played)

    assert level_db(clean[5 * SECOND :]) > level_db(voice[5 * SECOND :]) - 12


def test_steady_noise_is_suppressed() -> None:
    noise = np.random.default_rng(3).normal(0, 500, (6 * SECOND, 1)).astype(np.int16)

    clean = run(WebRtcProcessor(), noise, np.zeros_like(noise))

    assert level_db(noise[3 * SECOND :]) - level_db(clean[3 * SECOND :]) >= 5


def test_played_sound_that_nobody_captured_is_bounded_and_counted() -> None:
    processor = WebRtcProcessor()
    for _ in range(PLAYED_CAPACITY_BLOCKS + 30):
        processor.note_played(np.zeros((BLOCK_SAMPLES, 2), np.int16))

    assert processor.dropped == 30


@pytest.mark.parametrize("early_blocks", [15, 50])
def test_a_speaker_that_played_before_the_microphone_opened_does_no_harm(
    early_blocks: int,
) -> None:
    played = loud_voice(8)
    near = echo_of(played, 60)
    processor = WebRtcProcessor()
    for start in range(early_blocks):
        block = played[start * BLOCK_SAMPLES : (start + 1) * BLOCK_SAMPLES]
        processor.note_played(np.repeat(block, 2, axis=1))

    clean = run(
        processor, near[early_blocks * BLOCK_SAMPLES :], played[early_blocks * BLOCK_SAMPLES :]
    )

    assert level_db(near[4 * SECOND :]) - level_db(clean[4 * SECOND :]) >= 25


def test_devices_that_come_in_bursts_do_no_harm() -> None:
    # The speaker asks for four blocks at once, the microphone gives three.
    played = loud_voice(10)
    near = echo_of(played, 100)
    processor = WebRtcProcessor()
    blocks, noted, captured = [], 0, 0
    for tick in range(near.shape[0] // BLOCK_SAMPLES):
        while noted <= tick and tick % 4 == 0 and noted < tick + 4:
            block = played[noted * BLOCK_SAMPLES : (noted + 1) * BLOCK_SAMPLES]
            processor.note_played(np.repeat(block, 2, axis=1))
            noted += 1
        while tick % 3 == 2 and captured <= tick:
            block = near[captured * BLOCK_SAMPLES : (captured + 1) * BLOCK_SAMPLES]
            blocks.append(processor.process(block))
            captured += 1
    clean = np.concatenate(blocks)

    assert level_db(near[5 * SECOND :]) - level_db(clean[5 * SECOND :]) >= 25


def test_another_block_length_is_refused() -> None:
    with pytest.raises(ValueError, match="10 ms"):
        WebRtcProcessor().process(np.zeros((960, 1), np.int16))


def test_without_the_library_sound_passes_through_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pywebrtc_audio", None)
    with capture_logs() as logged:
        processor = make_processor()
    block = steady_tone(0.01)

    assert isinstance(processor, PassThrough)
    assert not processor.cancels_echo
    assert processor.process(block) is block
    assert [entry["event"] for entry in logged] == ["no echo cancellation on this machine"]


def test_the_default_cancels_echo() -> None:
    assert make_processor().cancels_echo
