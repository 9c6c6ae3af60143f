"""Real PortAudio streams on PulseAudio's null sinks: exact tones out and in.

Asked for by `-m device`. Starts a PulseAudio of its own, with a private home, so that no
device of the machine is touched. Needs pulseaudio, libasound2-plugins and libportaudio2.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.device

ROOT = Path(__file__).parents[2]
# Two names for PortAudio: it lists what the ALSA configuration defines.
ASOUNDRC = """
pcm.lanai_a { type pulse device lanai_a }
pcm.lanai_b { type pulse device lanai_b }
pcm.lanai_mic { type pulse device lanai_a.monitor }
pcm.!default { type pulse }
ctl.!default { type pulse }
"""

# In a process of its own: PortAudio reads its environment once.
SCRIPT = """
import json, sys, threading, time
import numpy as np
from app.media.capture.generated import tone
from app.media.capture.microphone import MicrophoneInput
from app.media.devices import list_audio_devices
from app.media.play.mixer import Mixer
from app.media.play.speaker import SpeakerOutput
from app.media.process.processor import make_processor
from tests.support.voices import voice_like

devices = list_audio_devices()
speaker = next(d.id for d in devices if d.kind == "speaker" and d.name == "lanai_a")
microphone = next(d.id for d in devices if d.kind == "microphone" and d.name == "lanai_mic")
mixer, heard, at = Mixer(), [], [0]

voice = np.clip(voice_like(20).astype(int) * 2, -32768, 32767).astype(np.int16)

def play(samples):
    at[0] += samples
    if sys.argv[1] == "tone":
        return tone(440, samples, start=at[0] - samples)
    return voice[at[0] - samples : at[0]]

mixer.add("voice", play)
processor = make_processor() if sys.argv[1] == "cancel" else None
output = SpeakerOutput(speaker, mixer, processor)
output.start()
recorder = MicrophoneInput(microphone, heard.append, processor)
recorder.start()
end_s = time.monotonic() + 30
while len(heard) < 800 and time.monotonic() < end_s:
    time.sleep(0.05)
recorder.close()
output.close()
sound = np.concatenate(heard[300:])  # flow takes a second or two to settle

from tests.support.signals import level_db, tone_peak
peak = tone_peak(sound)
print(json.dumps({
    "freq_hz": peak.freq_hz, "over_median_db": peak.over_median_db, "level_db": level_db(sound),
    "blocks": len(heard), "lacking": output.lacking_samples, "dropped": recorder.dropped_samples,
    "unmatched_blocks": [getattr(processor, "dropped", 0), getattr(processor, "lacking", 0)],
    "interruptions": [output.interruptions, recorder.interruptions],
    "by_second_db": [
        round(level_db(np.concatenate(heard[n : n + 100]))) for n in range(0, 800, 100)
    ],
    "speakers": sum(d.kind == "speaker" for d in devices),
    "threads": [t.name for t in threading.enumerate() if t.name.startswith("media-")],
}))
"""


@pytest.fixture(scope="module")
def pulse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    for program in ("pulseaudio", "pactl"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    home = tmp_path_factory.mktemp("pulse")
    (home / ".asoundrc").write_text(ASOUNDRC)
    environment = os.environ | {
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(home),
        "XDG_CONFIG_HOME": str(home),
        "PULSE_RUNTIME_PATH": str(home / "run"),
        "PULSE_STATE_PATH": str(home / "state"),
        "PULSE_SERVER": f"unix:{home}/native",
        "PYTHONPATH": str(ROOT),
    }
    (home / "run").mkdir(mode=0o700)
    daemon = subprocess.Popen(
        [
            "pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--disallow-exit",
            "--use-pid-file=no", "--high-priority=no", "--realtime=no", "--log-target=stderr",
            "-L", f"module-native-protocol-unix socket={home}/native auth-anonymous=1",
            "-L", "module-null-sink sink_name=lanai_a rate=48000",
            "-L", "module-null-sink sink_name=lanai_b rate=48000",
        ],
        env=environment,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        for _ in range(100):
            asked = subprocess.run(["pactl", "info"], env=environment, capture_output=True)
            if asked.returncode == 0:
                break
            if daemon.poll() is not None:
                assert daemon.stderr is not None
                pytest.fail(daemon.stderr.read().decode())
            time.sleep(0.1)
        yield environment
    finally:
        daemon.terminate()
        daemon.communicate(timeout=10)


def run(environment: dict[str, str], mode: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, mode],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(report)
    return report


def test_a_tone_comes_back_from_speaker_to_microphone(pulse: dict[str, str]) -> None:
    report = run(pulse, "tone")

    assert abs(report["freq_hz"] - 440) < 1
    assert report["over_median_db"] > 40
    assert report["blocks"] >= 800
    assert report["threads"] == []


def test_what_the_speaker_plays_is_taken_out_of_the_microphone(pulse: dict[str, str]) -> None:
    plain, cancelled = run(pulse, "plain"), run(pulse, "cancel")

    # The median second: on a busy machine a device may stumble, and the canceller starts anew.
    assert (
        statistics.median(plain["by_second_db"]) - statistics.median(cancelled["by_second_db"])
        >= 25
    )
