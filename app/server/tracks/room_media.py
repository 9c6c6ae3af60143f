"""One room's media timers: pending batches, feedback, and who speaks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from app.server.tally import Tally
from app.sfu.speakers import WINDOW_S, Speakers

if TYPE_CHECKING:
    from app.server.tracks.fanout import Group
    from app.server.tracks.media import ParticipantMedia

FLUSH_AFTER_S = 0.004
TICK_S = 0.025

SpeakerChange = tuple[str, float, bool]


class RoomMedia:
    """What the participants of a room share. Lives on the server's loop.

    `speakers_changed` gets (participant sid, level 0-1, active) of those that changed, loudest
    first, every 400 ms at most. The timers rest while nobody publishes.
    """

    def __init__(
        self,
        speakers_changed: Callable[[Sequence[SpeakerChange]], None] | None = None,
        *,
        tally: Tally | None = None,
    ) -> None:
        self.tally = tally or Tally()
        self._loop = asyncio.get_running_loop()
        self._speakers_changed = speakers_changed
        self.speakers = Speakers()
        self._publishers: set[ParticipantMedia] = set()
        self._waiting: list[Group] = []
        self._flush_timer: asyncio.TimerHandle | None = None
        self._tick_timer: asyncio.TimerHandle | None = None
        self._window_ends_s = 0.0
        self._is_closed = False

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that everything here runs on."""
        return self._loop

    @staticmethod
    def now_s() -> float:
        """Return the clock of everything here; a loop's own may lag behind it."""
        return time.monotonic()

    def flush_later(self, group: Group) -> None:
        """Flush this group in 4 ms at the latest. Hot path."""
        self._waiting.append(group)
        if self._flush_timer is None:
            self._flush_timer = self._loop.call_later(FLUSH_AFTER_S, self._flush)

    def _flush(self) -> None:
        self._flush_timer = None
        groups, self._waiting = self._waiting, []
        for group in groups:
            group.flush()

    def join(self, publisher: ParticipantMedia) -> None:
        """Call this publisher's timers from now on."""
        self._publishers.add(publisher)
        if self._tick_timer is None and not self._is_closed:
            self._tick_timer = self._loop.call_later(TICK_S, self._tick)

    def leave(self, publisher: ParticipantMedia) -> None:
        """Forget a publisher."""
        self._publishers.discard(publisher)

    def end_voice(self, participant_sid: str) -> None:
        """A microphone is gone, its owner is not: say at once that nobody speaks there."""
        changes = self.speakers.end(participant_sid)
        if changes and self._speakers_changed is not None:
            self._speakers_changed(changes)

    def _tick(self) -> None:
        self._tick_timer = None
        now_s = self.now_s()
        for publisher in tuple(self._publishers):
            publisher.handle_tick(now_s)
        if now_s >= self._window_ends_s:
            self._window_ends_s = now_s + WINDOW_S
            changes = self.speakers.handle_deadline(now_s)
            if changes and self._speakers_changed is not None:
                self._speakers_changed(changes)
        if self._publishers and not self._is_closed:
            self._tick_timer = self._loop.call_later(TICK_S, self._tick)

    def close(self) -> None:
        """Stop the timers. Idempotent."""
        self._is_closed = True
        for timer in (self._flush_timer, self._tick_timer):
            if timer is not None:
                timer.cancel()
        self._flush_timer = self._tick_timer = None
        self._waiting.clear()
        self._publishers.clear()
