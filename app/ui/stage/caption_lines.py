"""Which captions stand on screen, and which of their words may still change. Knows no Qt."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from app.engine.events import Caption

SPEAKERS = 2
# What was said stays long enough to be read; a sentence that was never ended goes too.
FINAL_STAYS_S = 8.0
OPEN_STAYS_S = 15.0


@dataclass(frozen=True, slots=True)
class CaptionLine:
    """One speaker's last words; `interim` may still become other words."""

    identity: str
    name: str
    settled: str
    interim: str

    @property
    def text(self) -> str:
        """All of it."""
        return " ".join(part for part in (self.settled, self.interim) if part)


class CaptionLines:
    """The last words of the last two speakers, the latest one last."""

    def __init__(self) -> None:
        self._latest: dict[str, Caption] = {}
        self._settled: dict[str, int] = {}

    def handle(self, captions: Iterable[Caption]) -> None:
        """Take the list of what was said lately."""
        latest: dict[str, Caption] = {}
        for caption in captions:
            latest[caption.identity] = caption
        for identity, caption in latest.items():
            before = self._latest.get(identity)
            self._settled[identity] = _settled_words(before, caption)
        self._settled = {i: self._settled[i] for i in latest}
        self._latest = latest

    def lines(self, now_s: float) -> list[CaptionLine]:
        """Return what is to be shown now."""
        shown = [c for c in self._latest.values() if now_s < _stays_until_s(c)]
        shown.sort(key=lambda caption: caption.changed_s)
        return [self._line(caption) for caption in shown[-SPEAKERS:]]

    def _line(self, caption: Caption) -> CaptionLine:
        words = caption.text.split()
        settled = self._settled.get(caption.identity, 0)
        return CaptionLine(
            identity=caption.identity,
            name=caption.name or caption.identity,
            settled=" ".join(words[:settled]),
            interim=" ".join(words[settled:]),
        )


def _stays_until_s(caption: Caption) -> float:
    return caption.changed_s + (FINAL_STAYS_S if caption.is_final else OPEN_STAYS_S)


def _settled_words(before: Caption | None, now: Caption) -> int:
    """Count the words that have held: all of a final sentence, else those that came again."""
    words = now.text.split()
    if now.is_final:
        return len(words)
    if before is None or before.id != now.id:
        return 0
    count = 0
    for old, new in zip(before.text.split(), words, strict=False):
        if old != new:
            break
        count += 1
    return count
