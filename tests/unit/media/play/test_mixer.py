"""Everybody is heard, nobody clips, a broken source is alone in its silence."""

from __future__ import annotations

import numpy as np
import pytest
from structlog.testing import capture_logs

from app.media.capture.generated import tone
from app.media.decode.audio import AudioReceiveStream
from app.media.frames import Pcm
from app.media.play.mixer import ClipSource, Mixer
from tests.support.signals import level_db, tone_level_db, tone_peak


class Sine:
    """A source that goes on and on."""

    def __init__(self, freq_hz: float, amplitude: float = 0.2, channels: int = 1) -> None:
        self._freq_hz, self._amplitude, self._channels = freq_hz, amplitude, channels
        self._at = 0

    def pull(self, samples: int) -> Pcm:
        pcm = tone(
            self._freq_hz,
            samples,
            start=self._at,
            amplitude=self._amplitude,
            channels=self._channels,
        )
        self._at += samples
        return pcm


def seconds(mixer: Mixer, length_s: float) -> Pcm:
    return np.concatenate([mixer.pull(480) for _ in range(int(length_s * 100))])


def test_every_source_is_in_the_mix() -> None:
    mixer = Mixer()
    for freq_hz in (330, 440, 550):
        mixer.add(freq_hz, Sine(freq_hz))

    mix = seconds(mixer, 1)

    assert mix.shape == (48_000, 2)
    for freq_hz in (330, 440, 550):
        assert tone_level_db(mix, freq_hz) == pytest.approx(20 * np.log10(0.2), abs=0.5)


def test_one_channel_is_heard_on_both_sides_and_two_stay_as_they_are() -> None:
    mixer = Mixer()
    mixer.add("mono", Sine(330))
    assert np.array_equal(*mixer.pull(480).T)

    mixer.add("stereo", lambda n: np.tile(np.array([[1_000, 0]], np.int16), (n, 1)))
    left, right = mixer.pull(480).T
    assert (left.astype(int) - right.astype(int)).tolist() == [1_000] * 480


def test_many_loud_voices_are_turned_down_rather_than_clipped() -> None:
    mixer = Mixer()
    for number in range(10):
        mixer.add(number, Sine(300 + 37 * number, amplitude=0.5))

    mix = seconds(mixer, 2)

    assert np.abs(mix.astype(int)).max() <= 32_767
    assert np.mean(np.abs(mix.astype(int)) >= 32_760) < 0.01
    assert tone_peak(mix[:, 0]).over_median_db > 40
    for number in range(10):
        mixer.remove(number)
    mixer.add("quiet", Sine(440, amplitude=0.1))
    seconds(mixer, 1)
    assert tone_level_db(seconds(mixer, 1), 440) == pytest.approx(-20, abs=0.5)


def test_gain_changes_one_source_alone() -> None:
    mixer = Mixer()
    mixer.add("a", Sine(330))
    mixer.add("b", Sine(550))
    mixer.set_gain("a", 0.1)
    mixer.set_gain("nobody", 5.0)

    mix = seconds(mixer, 1)

    assert tone_level_db(mix, 550) - tone_level_db(mix, 330) == pytest.approx(20, abs=0.5)


def test_taps_hear_one_source_or_the_mix() -> None:
    mixer = Mixer()
    mixer.add("a", Sine(330))
    mixer.add("b", Sine(550))
    heard: dict[str, list[Pcm]] = {"a": [], "mix": []}
    tap_a, tap_mix = heard["a"].append, heard["mix"].append
    mixer.add_tap(tap_a, key="a")
    mixer.add_tap(tap_mix)

    mix = seconds(mixer, 1)
    mixer.remove_tap(tap_a)
    mixer.pull(480)

    assert tone_peak(np.concatenate(heard["a"])).is_tone(330)
    assert np.array_equal(np.concatenate(heard["mix"])[:48_000], mix)
    assert (len(heard["a"]), len(heard["mix"])) == (100, 101)


def test_a_source_that_fails_is_removed_and_the_others_play_on() -> None:
    def broken(samples: int) -> Pcm:
        raise RuntimeError("decoder gone")

    mixer = Mixer()
    mixer.add("broken", broken)
    mixer.add("fine", Sine(440))
    with capture_logs() as logged:
        mix = seconds(mixer, 1)

    assert tone_peak(mix).is_tone(440)
    assert mixer.keys() == ("fine",)
    assert len(logged) == 1


def test_no_source_is_silence_and_a_removed_one_is_not_heard() -> None:
    mixer = Mixer()
    mixer.add("a", AudioReceiveStream())
    mixer.add("a", Sine(440))
    mixer.remove("a")
    mixer.remove("a")

    assert level_db(seconds(mixer, 0.1)) < -90


def test_a_clip_plays_once_and_tells_when_it_is_over() -> None:
    ended: list[int] = []
    clip = ClipSource(tone(440, 1_000), on_end=lambda: ended.append(1))
    parts = [clip.pull(480) for _ in range(5)]

    assert np.array_equal(np.concatenate(parts)[:1_000], tone(440, 1_000))
    assert not np.concatenate(parts)[1_000:].any()
    assert ended == [1]
