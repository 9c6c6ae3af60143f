"""How loud sound is: RFC 6464 for the wire, 0..1 for the meter."""

from __future__ import annotations

import numpy as np

from app.media.frames import Pcm

QUIETEST_DBOV = 127
METER_FLOOR_DBOV = 60.0


def level_dbov(pcm: Pcm) -> int:
    """Return the level as the RFC 6464 header extension carries it: 0 is loudest, 127 silence."""
    return round(min(_below_full_scale_db(pcm), QUIETEST_DBOV))


def level_unit(pcm: Pcm) -> float:
    """Return the level for a meter: 0 at -60 dBov or less, 1 at full scale."""
    return max(0.0, 1.0 - _below_full_scale_db(pcm) / METER_FLOOR_DBOV)


def _below_full_scale_db(pcm: Pcm) -> float:
    if pcm.size == 0:
        return float(QUIETEST_DBOV)
    samples = pcm.astype(np.float32)
    power = float(np.mean(samples * samples)) / (32768.0 * 32768.0)
    return float(QUIETEST_DBOV) if power < 1e-12 else float(max(0.0, -10.0 * np.log10(power)))
