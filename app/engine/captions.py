"""Captions from every form in which they arrive, each shown once. Sans-IO.

Streams on `lk.transcription` come in two styles. In one, a stream is a segment: its chunks append
and its trailer ends it. In the other each interim result is a whole stream of the same segment,
and replaces it. Agents send the same words again as legacy packets under other ids: once a stream
has come from somebody, legacy captions of the same speaker are dropped, earlier ones too.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from app.engine.events import Caption
from app.engine.transcription import TranscriptionSegment

CAPTION_TOPIC = "lk.transcription"
SEGMENT_ATTRIBUTE = "lk.segment_id"
FINAL_ATTRIBUTE = "lk.transcription_final"
TRACK_ATTRIBUTE = "lk.transcribed_track_id"
MAX_CAPTIONS = 200
MAX_TEXT_CHARS = 4_000
MAX_STREAMED_SPEAKERS = 1_000


@dataclass
class _Segment:
    identity: str
    text: str = ""
    is_final: bool = False
    is_legacy: bool = False
    track_sid: str = ""
    language: str = ""
    stream_id: str = ""
    changed_s: float = field(default=0.0, compare=False)


class Captions:
    """What was said, in the order in which it was first heard; belongs to the engine thread."""

    def __init__(self) -> None:
        self._segments: OrderedDict[tuple[str, str], _Segment] = OrderedDict()
        self._streams: dict[str, tuple[str, str]] = {}
        self._starting: set[str] = set()
        self._streamed: OrderedDict[str, None] = OrderedDict()

    def list(self) -> tuple[Caption, ...]:
        """Return all that is remembered."""
        return tuple(
            Caption(
                id=key[1],
                identity=segment.identity,
                text=segment.text,
                is_final=segment.is_final,
                track_sid=segment.track_sid,
                language=segment.language,
                changed_s=segment.changed_s,
            )
            for key, segment in self._segments.items()
            if segment.text
        )

    def handle_stream(
        self, stream_id: str, identity: str, attributes: Mapping[str, str], now_s: float
    ) -> None:
        """A stream begins: a new segment, or another wording of one that is known."""
        self._drop_legacy(identity)
        key = (identity, attributes.get(SEGMENT_ATTRIBUTE) or stream_id)
        segment = self._segments.get(key)
        if segment is None:
            segment = self._segments[key] = _Segment(identity)
        elif segment.stream_id != stream_id:
            self._forget(segment.stream_id)
        # The new wording replaces the old one with its first word, so that nothing flickers.
        segment.stream_id = stream_id
        segment.is_final = attributes.get(FINAL_ATTRIBUTE) == "true"
        segment.track_sid = attributes.get(TRACK_ATTRIBUTE, segment.track_sid)
        segment.changed_s = now_s
        self._streams[stream_id] = key
        self._starting.add(stream_id)
        self._trim()

    def handle_piece(self, stream_id: str, piece: str, now_s: float) -> bool:
        """More of a stream; False when another wording has taken its place."""
        segment = self._current(stream_id)
        if segment is None:
            return False
        if stream_id in self._starting:
            self._starting.discard(stream_id)
            segment.text = ""
        segment.text = (segment.text + piece)[:MAX_TEXT_CHARS]
        segment.changed_s = now_s
        return True

    def handle_end(self, stream_id: str, attributes: Mapping[str, str], now_s: float) -> None:
        """A stream has ended; its trailer may say that the segment is final."""
        segment = self._current(stream_id)
        if segment is not None:
            if stream_id in self._starting:
                segment.text = ""
            segment.is_final = segment.is_final or attributes.get(FINAL_ATTRIBUTE) == "true"
            segment.changed_s = now_s
        self._forget(stream_id)

    def handle_break(self, stream_id: str, now_s: float) -> None:
        """A stream broke off: what was said stays, and nothing more comes."""
        segment = self._current(stream_id)
        if segment is not None:
            segment.is_final = True
            segment.changed_s = now_s
        self._forget(stream_id)

    def handle_legacy(
        self,
        identity: str,
        track_sid: str,
        segments: Iterable[TranscriptionSegment],
        now_s: float,
    ) -> bool:
        """Captions in packets; False when they are the twins of streams."""
        if identity in self._streamed:
            return False
        for each in segments:
            key = (identity, each.id)
            segment = self._segments.setdefault(key, _Segment(identity, is_legacy=True))
            segment.text = each.text[:MAX_TEXT_CHARS]
            segment.is_final = each.final
            segment.track_sid = track_sid
            segment.language = each.language
            segment.changed_s = now_s
        self._trim()
        return True

    def _current(self, stream_id: str) -> _Segment | None:
        key = self._streams.get(stream_id)
        segment = self._segments.get(key) if key is not None else None
        return segment if segment is not None and segment.stream_id == stream_id else None

    def _drop_legacy(self, identity: str) -> None:
        if identity in self._streamed:
            return
        self._streamed[identity] = None
        if len(self._streamed) > MAX_STREAMED_SPEAKERS:
            self._streamed.popitem(last=False)
        twins = [key for key, s in self._segments.items() if s.is_legacy and key[0] == identity]
        for key in twins:
            del self._segments[key]

    def _forget(self, stream_id: str) -> None:
        self._streams.pop(stream_id, None)
        self._starting.discard(stream_id)

    def _trim(self) -> None:
        while len(self._segments) > MAX_CAPTIONS:
            _, segment = self._segments.popitem(last=False)
            self._forget(segment.stream_id)
