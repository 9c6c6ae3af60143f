"""Keeps each gate's list of hosts and co-hosts, and tells hosts which of them are not here.

Lives on the server's loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from app.server.gate.gate import Gate
from app.server.gate.staff import Helper
from app.server.gate.standing import invitation_of, is_of_door, role_of
from app.server.gate.telling import admins_of, away_packet, is_told, send

if TYPE_CHECKING:
    from app.server.room.participant import Participant
    from app.server.room.room import Room

log = structlog.get_logger(__name__)

# Of several changes close together one packet tells.
TELL_DELAY_S = 0.05


class RollCall:
    """Of all gates of a server."""

    def __init__(self, room_of: Callable[[Gate], Room | None], save: Callable[[], None]) -> None:
        self._room_of = room_of
        self._save = save
        self._timers: dict[str, asyncio.TimerHandle] = {}
        # Gates whose admins believe that somebody is away.
        self._told: set[str] = set()

    def note(self, gate: Gate, participant: Participant) -> None:
        """Write down who somebody is, for when a host wants the role back from nobody there."""
        if is_of_door(participant.claims):
            self._note(
                gate,
                Helper(
                    participant.identity,
                    participant.info.name,
                    role_of(participant.claims),
                    invitation_of(participant.claims),
                    time.time(),
                ),
            )

    def strike(self, gate: Gate, identity: str) -> None:
        """Somebody has no role any more."""
        self._note(gate, Helper(identity, "", "guest"))

    def find_away(self, gate: Gate, identity: str) -> Helper | None:
        """Return the host or co-host of this identity who is known and not here."""
        return next((helper for helper in self._away(gate) if helper.identity == identity), None)

    def set_role(self, gate: Gate, helper: Helper, role: str) -> None:
        """Somebody who is not here has another role now."""
        self._note(gate, replace(helper, role=role))
        log.info("role of somebody absent changed", role=role)

    def close(self) -> None:
        """Stop the timers."""
        for timer in self._timers.values():
            timer.cancel()

    def _note(self, gate: Gate, helper: Helper) -> None:
        if gate.staff.note(helper):
            self._save()
            if gate.name not in self._timers:
                loop = asyncio.get_running_loop()
                self._timers[gate.name] = loop.call_later(TELL_DELAY_S, self._tell, gate)

    def _away(self, gate: Gate) -> list[Helper]:
        room = self._room_of(gate)
        people = room.participants.values() if room is not None else ()
        return gate.staff.away({p.identity for p in people}, now_s=time.time())

    def _tell(self, gate: Gate) -> None:
        del self._timers[gate.name]
        room, away = self._room_of(gate), self._away(gate)
        was_told = gate.name in self._told
        self._told.discard(gate.name)
        if room is None:
            return
        if away:
            self._told.add(gate.name)
        if away or was_told:
            send(room, away_packet(away), to=[p for p in admins_of(room) if is_told(p)])
