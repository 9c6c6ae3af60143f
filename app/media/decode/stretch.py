"""Make a stretch of sound a little shorter or longer without a change of pitch.

One period is cross-faded away or repeated, at the lag where the signal looks most like itself
(WSOLA). The jitter buffer uses it to approach its target delay unheard. Pure functions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.media.frames import Pcm

SHORTEST_LAG = 120  # 400 Hz
LONGEST_LAG = 480  # 100 Hz
LEAST_SAMPLES = 480
COARSE = 4
QUIET_AMPLITUDE = 30.0
LEAST_LIKENESS = 0.6


class Likeness(NamedTuple):
    """Where sound repeats itself, and how well: 1 is exactly, 0 not at all."""

    lag_samples: int
    likeness: float


def best_lag(pcm: Pcm) -> Likeness:
    """Find the lag at which the head of `pcm` (480 samples or more) repeats best."""
    mono = pcm.astype(np.float32).mean(axis=1)[: 2 * LONGEST_LAG]
    longest = min(LONGEST_LAG, mono.size // 2)
    if float(np.abs(mono).max()) < QUIET_AMPLITUDE:
        return Likeness(longest, 1.0)  # nothing to hear, so any cut is fine
    window = (mono.size - longest) // COARSE * COARSE
    coarse = mono[: mono.size // COARSE * COARSE].reshape(-1, COARSE).mean(axis=1)
    scores = _scores(coarse, SHORTEST_LAG // COARSE, longest // COARSE, window // COARSE)
    centre = (SHORTEST_LAG // COARSE + int(scores.argmax())) * COARSE
    first = max(SHORTEST_LAG, centre - COARSE)
    fine = _scores(mono, first, min(longest, centre + COARSE), window)
    best = int(fine.argmax())
    return Likeness(first + best, float(fine[best]))


def _scores(signal: NDArray[np.float32], first: int, last: int, window: int) -> NDArray[np.float32]:
    head = signal[:window]
    body = signal[first : last + window]
    products = np.correlate(body, head, "valid")
    energy = np.concatenate(([0.0], np.cumsum(body.astype(np.float64) ** 2)))
    energies = energy[window:] - energy[:-window]
    norm = np.sqrt(np.maximum(energies, 1.0) * max(float(head @ head), 1.0))
    scores: NDArray[np.float32] = (products / norm[: products.size]).astype(np.float32)
    return scores


def shorten(pcm: Pcm, *, urgent: bool = False) -> Pcm:
    """Cut one period out of at least 480 samples, or return `pcm` if that would be heard."""
    if pcm.shape[0] < LEAST_SAMPLES:
        return pcm
    lag, likeness = best_lag(pcm)
    if likeness < LEAST_LIKENESS and not urgent:
        return pcm
    return np.concatenate((_fade(pcm[:lag], pcm[lag : 2 * lag]), pcm[2 * lag :]))


def lengthen(pcm: Pcm, *, urgent: bool = False) -> Pcm:
    """Repeat one period of at least 480 samples, or return `pcm` if that would be heard."""
    if pcm.shape[0] < LEAST_SAMPLES:
        return pcm
    lag, likeness = best_lag(pcm)
    if likeness < LEAST_LIKENESS and not urgent:
        return pcm
    return np.concatenate((pcm[:lag], _fade(pcm[lag : 2 * lag], pcm[:lag]), pcm[lag:]))


def _fade(leaving: Pcm, coming: Pcm) -> Pcm:
    ramp = (np.arange(leaving.shape[0], dtype=np.float32) / leaving.shape[0])[:, None]
    faded: Pcm = (leaving * (1.0 - ramp) + coming * ramp).astype(np.int16)
    return faded
