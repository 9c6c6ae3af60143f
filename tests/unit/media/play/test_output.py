"""Without a speaker the meeting still runs at the right pace."""

from __future__ import annotations

import ctypes.util
import sys
import time

import numpy as np
import pytest

from app.media import devices, portaudio
from app.media.capture.generated import tone
from app.media.capture.microphone import MicrophoneInput
from app.media.frames import Pcm
from app.media.play.clock import MOST_BEHIND_BLOCKS, BlockClock
from app.media.play.mixer import Mixer
from app.media.play.speaker import NullOutput, SpeakerOutput, open_output
from app.runtime.errors import Reason, WorldError
from tests.support.pictures import wait_until
from tests.support.signals import tone_peak


@pytest.fixture
def no_portaudio(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make sounddevice find no PortAudio library, as on a machine without libportaudio2."""
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None)


@pytest.fixture
def no_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make PortAudio see no device, as on a server."""
    sounddevice = portaudio.load()
    monkeypatch.setattr(sounddevice, "query_devices", lambda *_: [])


@pytest.mark.usefixtures("no_portaudio")
def test_without_portaudio_every_door_to_audio_says_so() -> None:
    doors = (
        devices.list_audio_devices,
        SpeakerOutput(None, Mixer()).start,
        MicrophoneInput(None, lambda pcm: None).start,
    )
    for door in doors:
        with pytest.raises(WorldError) as caught:
            door()
        assert caught.value.reason is Reason.NO_AUDIO_BACKEND


@pytest.mark.usefixtures("no_devices")
def test_without_a_device_opening_says_so() -> None:
    for start in (
        SpeakerOutput(None, Mixer()).start,
        SpeakerOutput("ALSA/gone", Mixer()).start,
        MicrophoneInput(None, lambda pcm: None).start,
    ):
        with pytest.raises(WorldError) as caught:
            start()
        assert caught.value.reason is Reason.DEVICE_GONE


@pytest.mark.usefixtures("no_devices")
def test_without_a_device_the_mix_is_pulled_all_the_same() -> None:
    mixer, heard = Mixer(), list[Pcm]()
    at = [0]

    def sine(samples: int) -> Pcm:
        at[0] += samples
        return tone(440, samples, start=at[0] - samples)

    mixer.add("voice", sine)
    mixer.add_tap(heard.append)
    output, error = open_output(None, mixer)
    wait_until(lambda: len(heard) >= 50)
    output.close()
    after = len(heard)

    assert isinstance(output, NullOutput)
    assert error is not None
    assert error.reason is Reason.DEVICE_GONE
    assert tone_peak(np.concatenate(heard)).is_tone(440)
    assert len(heard) == after


def test_a_clock_neither_drifts_nor_floods_after_a_stall() -> None:
    stalled = [False]

    def tick() -> None:
        if not stalled[0]:
            stalled[0] = True
            time.sleep(0.5)  # the stall itself is what is tested

    clock = BlockClock(tick)
    started_s = time.monotonic()
    clock.start()
    wait_until(lambda: clock.ticks >= MOST_BEHIND_BLOCKS + 20)
    clock.close()
    elapsed_blocks = int((time.monotonic() - started_s) / 0.010)

    assert clock.skipped >= 20
    assert clock.ticks + clock.skipped <= elapsed_blocks + 1
