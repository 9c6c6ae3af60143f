"""Captions as legacy packets carry them."""

from __future__ import annotations

from dataclasses import dataclass


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
