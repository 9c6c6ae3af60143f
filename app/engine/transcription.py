"""Captions as legacy packets carry them."""

from __future__ import annotations

from dataclasses import dataclass

from livekit.protocol import models as lk


@dataclass
class TranscriptionSegment:
    """A piece of speech as text; times in milliseconds."""

    id: str
    text: str
    start_time: int
    end_time: int
    language: str
    final: bool


@dataclass
class Transcription:
    """Segments of one participant's track."""

    participant_identity: str
    track_sid: str
    segments: list[TranscriptionSegment]


def segment_of(segment: lk.TranscriptionSegment) -> TranscriptionSegment:
    """Read a segment off the wire."""
    return TranscriptionSegment(
        id=segment.id,
        text=segment.text,
        start_time=segment.start_time,
        end_time=segment.end_time,
        language=segment.language,
        final=segment.final,
    )
