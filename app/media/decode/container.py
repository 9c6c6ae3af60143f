"""Sound in a file's form (WebM or Ogg with Opus, as browsers record it), decoded in one go.

The bytes are a stranger's: whatever is wrong with them is one error, and no more comes out than
was asked for.
"""

from __future__ import annotations

import io

import av
import numpy as np

from app.media.frames import Pcm


class DamagedSoundError(Exception):
    """The bytes are no sound that can be read."""


def decode_sound(data: bytes, rate_hz: int, channels: int, max_s: float) -> Pcm:
    """Return at most `max_s` seconds of the first sound track."""
    layout = "mono" if channels == 1 else "stereo"
    wanted = int(max_s * rate_hz)
    pieces: list[Pcm] = []
    got = 0
    try:
        with av.open(io.BytesIO(data), mode="r") as container:
            if not container.streams.audio:
                raise DamagedSoundError("no sound")
            resampler = av.AudioResampler(format="s16", layout=layout, rate=rate_hz)
            for frame in container.decode(audio=0):
                for piece in resampler.resample(frame):
                    pieces.append(piece.to_ndarray().reshape(-1, channels).astype(np.int16))
                    got += len(pieces[-1])
                if got >= wanted:
                    break
    except (av.FFmpegError, ValueError, EOFError) as error:
        raise DamagedSoundError("not readable") from error
    if not pieces:
        return np.zeros((0, channels), np.int16)
    joined: Pcm = np.concatenate(pieces)[:wanted].astype(np.int16, copy=False)
    return joined
