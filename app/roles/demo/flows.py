"""Judges what arrived in the demo: pictures painted, tones heard, lines and files received.

Sans-IO and by the rules of the design: a person's picture has arrived when at least 60 distinct
rising counters were painted; a tone when its peak lies within 5 Hz and 15 dB above the median of
the spectrum; a line when it was shown exactly once; a file when its SHA-256 is the sender's.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

FRAMES_WANTED = 60
TONE_TOLERANCE_HZ = 5.0
TONE_LEAST_DB = 15.0
_SEARCH_HZ = 40.0
_SAMPLE_RATE_HZ = 48_000


@dataclass(frozen=True, slots=True)
class ToneReading:
    """What the spectrum shows near a wanted tone."""

    peak_hz: float
    above_median_db: float

    def is_tone(self, wanted_hz: float) -> bool:
        """Whether that is the wanted tone."""
        is_near = abs(self.peak_hz - wanted_hz) <= TONE_TOLERANCE_HZ
        return is_near and self.above_median_db >= TONE_LEAST_DB


def read_tone(mono: NDArray[np.float32], wanted_hz: float) -> ToneReading:
    """Find the highest peak near `wanted_hz` in a second of sound."""
    window = np.hanning(mono.size)
    spectrum = np.abs(np.fft.rfft(mono * window))
    bin_hz = _SAMPLE_RATE_HZ / mono.size
    first = max(1, int((wanted_hz - _SEARCH_HZ) / bin_hz))
    last = int((wanted_hz + _SEARCH_HZ) / bin_hz) + 1
    peak = first + int(np.argmax(spectrum[first:last]))
    floor = max(float(np.median(spectrum)), 1e-9)
    level_db = 20.0 * float(np.log10(max(float(spectrum[peak]), 1e-9) / floor))
    return ToneReading(peak * bin_hz, level_db)


class Ear:
    """Keeps the last second of the mix. `hear` runs on the mixing thread, the rest anywhere."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._second = np.zeros(_SAMPLE_RATE_HZ, np.float32)
        self._heard_samples = 0

    def hear(self, pcm: NDArray[np.int16]) -> None:
        """Take the next block of the mix."""
        mono = pcm.astype(np.float32).mean(axis=1)
        with self._lock:
            self._second = np.concatenate((self._second[mono.size :], mono))
            self._heard_samples += mono.size

    def read(self, wanted_hz: float) -> ToneReading | None:
        """Look for a tone, once a whole second was heard."""
        with self._lock:
            if self._heard_samples < _SAMPLE_RATE_HZ:
                return None
            second = self._second
        return read_tone(second, wanted_hz)


@dataclass(slots=True)
class Expected:
    """What one synthetic person owes the window."""

    identity: str
    name: str
    tone_hz: float
    line: str


@dataclass(slots=True)
class Verdict:
    """One person's row of the report."""

    name: str
    frames: int
    tone: ToneReading | None
    tone_hz: float
    lines: int

    @property
    def sees(self) -> bool:
        """Whether enough different pictures were painted."""
        return self.frames >= FRAMES_WANTED

    @property
    def hears(self) -> bool:
        """Whether the tone was in the mix."""
        return self.tone is not None and self.tone.is_tone(self.tone_hz)

    @property
    def arrived(self) -> bool:
        """Whether everything of this person arrived."""
        return self.sees and self.hears and self.lines == 1


@dataclass(slots=True)
class Flows:
    """Everything that was seen to arrive so far."""

    frames: dict[str, int] = field(default_factory=dict)
    tones: dict[str, ToneReading] = field(default_factory=dict)
    lines: Counter[tuple[str, str]] = field(default_factory=Counter)
    received: dict[str, str] = field(default_factory=dict)
    """File name -> SHA-256 of what was saved by the window."""
    delivered: dict[str, str] = field(default_factory=dict)
    """Identity -> SHA-256 of the window's file, as that person received it."""
    answered: set[str] = field(default_factory=set)
    """Identities that received the window's own line."""

    def note_tone(self, person: Expected, reading: ToneReading | None) -> None:
        """Keep the best reading of a person's tone."""
        if reading is None:
            return
        best = self.tones.get(person.identity)
        is_better = best is None or (
            (reading.is_tone(person.tone_hz), reading.above_median_db)
            > (best.is_tone(person.tone_hz), best.above_median_db)
        )
        if is_better:
            self.tones[person.identity] = reading

    def verdict(self, person: Expected) -> Verdict:
        """Judge one person."""
        return Verdict(
            name=person.name,
            frames=self.frames.get(person.identity, 0),
            tone=self.tones.get(person.identity),
            tone_hz=person.tone_hz,
            lines=self.lines[person.identity, person.line],
        )


def mark(arrived: bool) -> str:
    """Return the word in front of a line of the report."""
    return "ok  " if arrived else "MISS"


def report_lines(
    flows: Flows, people: list[Expected], *, file_name: str, file_sha256: str, own_sha256: str
) -> tuple[list[str], bool]:
    """Write the report; the flag says whether every flow arrived."""
    lines: list[str] = []
    everything = True
    for person in people:
        verdict = flows.verdict(person)
        tone = verdict.tone
        heard = f"{tone.peak_hz:.0f} Hz, {tone.above_median_db:.0f} dB" if tone else "nothing"
        lines += [
            f"{mark(verdict.sees)} {person.name}: {verdict.frames} frames painted",
            f"{mark(verdict.hears)} {person.name}: tone {person.tone_hz:.0f} Hz, heard {heard}",
            f"{mark(verdict.lines == 1)} {person.name}: line shown {verdict.lines} time(s)",
        ]
        answered = person.identity in flows.answered
        lines.append(f"{mark(answered)} {person.name}: got the window's line")
        got = flows.delivered.get(person.identity) == own_sha256
        lines.append(f"{mark(got)} {person.name}: got the window's file")
        everything = everything and verdict.arrived and answered and got
    sha256 = flows.received.get(file_name, "")
    is_same = sha256 == file_sha256
    lines.append(f"{mark(is_same)} file {file_name}: sha256 {sha256 or 'missing'}")
    return lines, everything and is_same
