from __future__ import annotations

import numpy as np
import pytest

from app.roles.demo.flows import Ear, Expected, Flows, ToneReading, read_tone, report_lines

RATE = 48_000


def tones(*freqs_hz: float, noise: float = 0.0) -> np.ndarray:
    at_s = np.arange(RATE) / RATE
    wanted = sum((3000 * np.sin(2 * np.pi * f * at_s) for f in freqs_hz), np.zeros(RATE))
    return (wanted + noise * np.random.default_rng(1).standard_normal(RATE)).astype(np.float32)


def test_each_tone_of_a_mix_is_found() -> None:
    mix = tones(330, 440, 550, noise=100)

    assert all(read_tone(mix, f).is_tone(f) for f in (330, 440, 550))
    assert not read_tone(mix, 660).is_tone(660)


@pytest.mark.parametrize("actual_hz", [432, 448])
def test_a_tone_that_is_off_is_not_the_tone(actual_hz: float) -> None:
    assert not read_tone(tones(actual_hz, noise=10), 440).is_tone(440)


def test_silence_holds_no_tone() -> None:
    assert not read_tone(np.zeros(RATE, np.float32), 440).is_tone(440)


def test_the_ear_answers_after_a_second_and_remembers_the_last_one() -> None:
    ear = Ear()
    blocks = tones(440).astype(np.int16).reshape(-1, 480, 1).repeat(2, axis=2)
    for block in blocks[:-1]:
        ear.hear(block)
    assert ear.read(440) is None
    ear.hear(blocks[-1])

    reading = ear.read(440)

    assert reading is not None
    assert reading.is_tone(440)


ADA = Expected("ada-1", "Ada", 440.0, "hello from Ada")


def complete() -> Flows:
    flows = Flows()
    flows.frames["ada-1"] = 60
    flows.note_tone(ADA, ToneReading(441.0, 30.0))
    flows.lines["ada-1", "hello from Ada"] = 1
    flows.received["a.bin"] = "abc"
    flows.delivered["ada-1"] = "own"
    flows.answered.add("ada-1")
    return flows


def everything_arrived(flows: Flows) -> bool:
    lines, arrived = report_lines(
        flows, [ADA], file_name="a.bin", file_sha256="abc", own_sha256="own"
    )
    assert arrived == (not any(line.startswith("MISS") for line in lines))
    return arrived


def test_the_demo_succeeds_when_everything_arrived() -> None:
    assert everything_arrived(complete())


def test_each_missing_flow_fails_the_demo() -> None:
    few, silent, twice, damaged, undelivered, unanswered = (complete() for _ in range(6))
    few.frames["ada-1"] = 59
    silent.tones.clear()
    twice.lines["ada-1", "hello from Ada"] = 2
    damaged.received["a.bin"] = "abd"
    undelivered.delivered.clear()
    unanswered.answered.clear()

    broken = [few, silent, twice, damaged, undelivered, unanswered]
    assert not any(everything_arrived(flows) for flows in broken)


def test_the_best_reading_of_a_tone_counts() -> None:
    flows = Flows()
    for reading in (ToneReading(441, 20.0), ToneReading(470, 50.0), None, ToneReading(440, 10.0)):
        flows.note_tone(ADA, reading)

    assert flows.tones["ada-1"] == ToneReading(441, 20.0)
