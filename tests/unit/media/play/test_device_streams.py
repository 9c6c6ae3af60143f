"""Speaker and microphone around a driver that the test drives by hand."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from app.media import portaudio
from app.media.capture import microphone
from app.media.capture.generated import tone
from app.media.capture.microphone import MicrophoneInput
from app.media.devices import list_audio_devices
from app.media.frames import Pcm
from app.media.play import speaker
from app.media.play.mixer import Mixer
from app.media.play.speaker import SpeakerOutput, open_output
from app.runtime.errors import Reason, WorldError
from tests.support.fake_portaudio import DEVICE_UNAVAILABLE, FakePortAudio, PortAudioError
from tests.support.pictures import wait_until
from tests.support.signals import tone_peak


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> FakePortAudio:
    return plug_in(monkeypatch, FakePortAudio())


def plug_in(monkeypatch: pytest.MonkeyPatch, driver: FakePortAudio) -> FakePortAudio:
    monkeypatch.setattr(portaudio, "load", lambda: driver)
    return driver


def tone_mixer() -> Mixer:
    mixer, at = Mixer(), [0]

    def sine(samples: int) -> Pcm:
        at[0] += samples
        return tone(440, samples, start=at[0] - samples)

    mixer.add("voice", sine)
    return mixer


class Played:
    """A processor that remembers what it was told."""

    cancels_echo = False

    def __init__(self) -> None:
        self.played = 0
        self.processed = 0

    def note_played(self, pcm: Pcm) -> None:
        self.played += pcm.shape[0]

    def process(self, pcm: Pcm) -> Pcm:
        self.processed += 1
        return pcm // 2


@pytest.mark.parametrize(
    ("rate_hz", "channels"), [(48_000, 2), (48_000, 1), (44_100, 2), (16_000, 1)]
)
def test_the_mix_reaches_a_device_of_any_rate_without_a_seam(
    monkeypatch: pytest.MonkeyPatch, rate_hz: int, channels: int
) -> None:
    driver = plug_in(monkeypatch, FakePortAudio(rate_hz, channels))
    processor = Played()
    output = SpeakerOutput(None, tone_mixer(), processor)
    output.start()
    stream = driver.streams[0]
    wait_until(lambda: output._ring.level >= rate_hz // 50)
    blocks = []
    for _ in range(100):
        wait_until(lambda: output._ring.level >= rate_hz // 100)
        blocks.append(stream.ask())
    output.close()
    sound = np.concatenate(blocks)

    assert sound.shape == (rate_hz // 100 * 100, channels)
    assert tone_peak(sound, rate_hz).is_tone(440, least_db=50)
    assert processor.played >= 48_000
    assert output.lacking_samples == 0
    assert not stream.is_open


@pytest.mark.parametrize("rate_hz", [48_000, 44_100, 16_000])
def test_a_recording_of_any_rate_comes_in_cleaned_blocks_of_10_ms(
    monkeypatch: pytest.MonkeyPatch, rate_hz: int
) -> None:
    driver = plug_in(monkeypatch, FakePortAudio(rate_hz))
    heard: list[Pcm] = []
    processor = Played()
    recorder = MicrophoneInput(None, heard.append, processor)
    recorder.start()
    phase = 2 * np.pi * 440 / rate_hz * np.arange(rate_hz)
    sound = (np.sin(phase) * 8_000).astype(np.int16)[:, None]
    for start in range(0, rate_hz, rate_hz // 100):
        driver.streams[0].give(sound[start : start + rate_hz // 100])
        wait_until(lambda: recorder._ring.level == 0)
    wait_until(lambda: len(heard) >= 98)
    recorder.close()

    assert all(block.shape == (480, 1) for block in heard)
    assert processor.processed == len(heard)
    assert tone_peak(np.concatenate(heard)).is_tone(440, least_db=50)
    assert 3_500 < np.abs(np.concatenate(heard)[4_800:]).max() < 4_500


def test_a_named_device_is_opened_and_an_unknown_one_is_gone(driver: FakePortAudio) -> None:
    ids = {device.name: device.id for device in list_audio_devices()}
    output = SpeakerOutput(ids["Headset"], Mixer())
    output.start()
    output.close()

    assert driver.streams[0].options["device"] == 2
    with pytest.raises(WorldError) as caught:
        SpeakerOutput("Fake/Unplugged", Mixer()).start()
    assert caught.value.reason is Reason.DEVICE_GONE


def test_the_listing_tells_kinds_and_defaults(driver: FakePortAudio) -> None:
    listed = [(d.kind, d.name, d.is_default) for d in list_audio_devices()]

    assert listed == [
        ("microphone", "Mic", True),
        ("speaker", "Speaker", True),
        ("microphone", "Headset", False),
        ("speaker", "Headset", False),
    ]


def test_a_busy_device_says_so_and_the_mix_is_pulled_all_the_same(driver: FakePortAudio) -> None:
    driver.fail_open = PortAudioError("Device unavailable", DEVICE_UNAVAILABLE)
    mixer, heard = tone_mixer(), list[Pcm]()
    mixer.add_tap(heard.append)
    output, error = open_output(None, mixer)
    wait_until(lambda: len(heard) >= 3)
    output.close()
    with pytest.raises(WorldError) as caught:
        MicrophoneInput(None, heard.append).start()

    assert error is not None
    assert error.reason is caught.value.reason is Reason.DEVICE_BUSY


def test_devices_that_fall_silent_are_reported_once(
    driver: FakePortAudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speaker, "SILENT_DRIVER_S", 0.05)
    monkeypatch.setattr(microphone, "SILENT_DRIVER_S", 0.05)
    failures: list[WorldError] = []
    both = threading.Semaphore(0)

    def failed(error: WorldError) -> None:
        failures.append(error)
        both.release()

    output = SpeakerOutput(None, Mixer(), on_failed=failed)
    recorder = MicrophoneInput(None, lambda pcm: None, on_failed=failed)
    output.start()
    recorder.start()
    assert both.acquire(timeout=30)
    assert both.acquire(timeout=30)
    output.close()
    recorder.close()

    assert [error.reason for error in failures] == [Reason.DEVICE_GONE] * 2


def test_a_device_may_be_closed_from_its_own_report(
    driver: FakePortAudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(microphone, "SILENT_DRIVER_S", 0.02)
    closed = threading.Event()

    def failed(error: WorldError) -> None:
        recorder.close()
        closed.set()

    recorder = MicrophoneInput(None, lambda pcm: None, on_failed=failed)
    recorder.start()

    assert closed.wait(30)
    assert not driver.streams[0].is_open


def test_what_portaudio_says_about_gaps_is_counted(driver: FakePortAudio) -> None:
    output = SpeakerOutput(None, Mixer())
    output.start()
    driver.streams[0].ask(status="output underflow")
    driver.streams[0].ask()
    output.close()

    assert output.interruptions == 1


def test_devices_are_not_scanned_anew_while_one_is_open(driver: FakePortAudio) -> None:
    output = SpeakerOutput(None, Mixer())
    output.start()
    try:
        assert not portaudio.refresh(driver)  # type: ignore[arg-type]  # a stand-in
        assert list_audio_devices(rescan=True)
    finally:
        output.close()
