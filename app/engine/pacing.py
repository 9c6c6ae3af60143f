"""How fast a file may go while people talk: as fast as it likes when nobody does.

A file and the sound share the way, the server and, on this side, one loop. While anybody is seen
or heard little is queued in the channel, and the file stands back for a moment whenever the loop
is late: that is when packets of sound would be.
"""

from __future__ import annotations

import asyncio

from app.engine import rtc

LIVE_BUFFER_BYTES = 64 * 1024
LOOK_EVERY_S = 0.5
LATE_S = 0.010
REST_S = 0.005
MAX_REST_S = 0.050


class Pace:
    """Says when the next piece of a file may be sent in this room."""

    def __init__(self, room: rtc.Room) -> None:
        self._room = room
        self._looked_s = -1.0
        self._is_live = False

    async def wait(self) -> None:
        """Return when a piece may go."""
        session = self._room.session
        if session is None or not self._look():
            return
        await session.drain_reliable(LIVE_BUFFER_BYTES)
        await self._rest()

    async def _rest(self) -> None:
        """Let everything that is due run first; rest longer the later the loop is."""
        loop = asyncio.get_running_loop()
        before_s = loop.time()
        await asyncio.sleep(0)
        late_s = loop.time() - before_s
        if late_s > LATE_S:
            await asyncio.sleep(min(MAX_REST_S, max(REST_S, late_s)))

    def _look(self) -> bool:
        """Whether anybody is seen or heard; looked up now and then."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._looked_s >= LOOK_EVERY_S:
            self._looked_s = now_s
            self._is_live = _is_live(self._room)
        return self._is_live


def _is_live(room: rtc.Room) -> bool:
    mine = room.local_participant.track_publications.values()
    if any(publication.track is not None and not publication.muted for publication in mine):
        return True
    return any(
        publication.track is not None and not publication.muted
        for person in room.remote_participants.values()
        for publication in person.track_publications.values()
    )
