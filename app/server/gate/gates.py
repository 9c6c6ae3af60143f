"""Every gate of a server with a door: found by name, kept over crashes, told to the people.

What changes reaches the room as a reliable packet from the server on the topic `lanai.door`:
the rules go to everybody who came by Lanai's door, the list of knocks to its admins (and what
`roll` says of co-hosts who are not here). All are whole lists, so that a lost or late one does no
harm. Lives on the server's loop.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from livekit.protocol import models, rtc

from app.protocol.ids import slug
from app.protocol.token import Claims
from app.runtime.paths import write_atomically
from app.runtime.tasks import TaskOwner, spawn
from app.server.config import HostedRoom, ServerConfig
from app.server.gate.gate import Gate, is_guest, permission_is_same
from app.server.gate.guests import SHARED_SOURCES, GuestFilter, restricted
from app.server.gate.roll import TELL_DELAY_S, RollCall
from app.server.gate.standing import (
    ROLE_ATTRIBUTE,
    invitation_of,
    role_of,
    with_role,
)
from app.server.gate.telling import admins_of, is_told, knocks_packet, rules_packet, send

if TYPE_CHECKING:
    from app.server.room.data_router import Passes
    from app.server.room.participant import Participant
    from app.server.room.room import Room

log = structlog.get_logger(__name__)

SAVE_DELAY_S = 0.05
_MAX_STATE_BYTES = 64 * 1024 * 1024


class Gates:
    """Gates by room name: of hosted rooms always, of others while they live."""

    def __init__(self, config: ServerConfig, tasks: TaskOwner) -> None:
        self._tasks = tasks
        self._hosted = {hosted.name: Gate(hosted) for hosted in config.rooms}
        self._live: dict[str, Gate] = {}
        # Of rooms that lived when the server fell, for when they are made again.
        self._fallen: dict[str, Mapping[str, Any]] = {}
        self._rooms: dict[str, Room] = {}
        self._sweeps: dict[str, asyncio.TimerHandle] = {}
        self._tellings: dict[str, asyncio.TimerHandle] = {}
        self._path = Path(config.state_file) if config.state_file else None
        self._saving: asyncio.Task[None] | None = None
        self._is_dirty = False
        self.roll = RollCall(self.room_of, self._save)
        self._own_permissions: dict[str, models.ParticipantPermission] = {}
        if self._path is not None:
            self._restore(self._path)

    def find(self, name: str) -> Gate | None:
        """Return the gate of exactly this room."""
        return self._hosted.get(name) or self._live.get(name)

    def find_typed(self, name: str) -> Gate | None:
        """The same; typed by hand, `garden-club` is "Garden club" too."""
        gate = self.find(name)
        if gate is not None:
            return gate
        typed = slug(name)
        alike = [gate for hosted, gate in self._hosted.items() if slug(hosted) == typed]
        return alike[0] if len(alike) == 1 else None

    def is_hosted(self, gate: Gate) -> bool:
        """Whether the room is one of the configuration."""
        return gate.name in self._hosted

    def room_of(self, gate: Gate) -> Room | None:
        """Return the room behind a gate while it lives."""
        return self._rooms.get(gate.name)

    def effective(self, claims: Claims) -> Claims:
        """Return what a token is worth now: its bearer may have been demoted or removed."""
        gate = self.find(claims.video.room)
        return gate.standing.effective(claims) if gate is not None else claims

    def check(self, claims: Claims) -> Claims:
        """The same for somebody who wants to join; raises `GateRefusal`."""
        gate = self.find(claims.video.room)
        return gate.check(claims) if gate is not None else claims

    def note_address(self, claims: Claims, address: str) -> None:
        """Where somebody comes from who joins, in case a host sends them away."""
        gate = self.find(claims.video.room)
        if gate is not None:
            gate.standing.note_address(claims.identity, address)

    # --- what the rooms tell

    def room_opened(self, room: Room) -> None:
        """A room lives."""
        gate = self.find(room.name)
        if gate is None:
            gate = self._live[room.name] = Gate(HostedRoom(name=room.name))
            gate.restore(self._fallen.pop(room.name, {}))
        self._rooms[room.name] = room
        # What the room was made with is a rule like any other, until the host changes it.
        gate.rules = replace(
            gate.rules, max_people=gate.rules.max_people or room.info.max_participants
        )
        room.info.max_participants = gate.rules.max_people

    def room_closed(self, room: Room) -> None:
        """A room is over."""
        if self._rooms.get(room.name) is room:
            del self._rooms[room.name]
            gate = self._live.pop(room.name, None) or self._hosted.get(room.name)
            if gate is not None:
                gate.standing.forget_addresses()
                self._save()

    def participant_entered(self, room: Room, participant: Participant) -> None:
        """Somebody is about to be welcomed: the rules apply from the first word."""
        gate = self.find(room.name)
        if gate is None:
            return
        if gate.standing.note_member(participant.identity):
            self._save()
        participant.data_sender.passes = self.data_filter(room, lambda: participant.claims)
        self._restrict(gate, participant)
        if is_told(participant):
            participant.send_data("_reliable", rules_packet(gate))
        if participant.claims.video.room_admin and gate.lobby.waiting:
            participant.send_data("_reliable", knocks_packet(gate, _now_s()))
        self.roll.note(gate, participant)

    def data_filter(self, room: Room, claims: Callable[[], Claims]) -> Passes | None:
        """Return what says of somebody's packets, in their order, which are heard in this room."""
        gate = self.find(room.name)
        if gate is None:
            return None
        standing = gate.standing
        return GuestFilter(
            allow=lambda: gate.rules.allow,
            is_guest=lambda: is_guest(standing.effective(claims())),
        ).passes

    def participant_left(self, room: Room, participant: Participant, reason: int) -> None:
        """Somebody is gone; who was sent away stays so."""
        own = self._own_permissions.pop(participant.sid, None)
        if own is not None and reason == models.DisconnectReason.MIGRATION:
            # In the next room that room's rules are what counts.
            participant.info.permission.CopyFrom(own)
        gate = self.find(room.name)
        if gate is None or participant.is_dependent:
            # An agent that was sent away may be asked for again, under the name it always has.
            return
        self.roll.note(gate, participant)
        if reason == models.DisconnectReason.PARTICIPANT_REMOVED:
            self.roll.strike(gate, participant.identity)
            gate.standing.note_removed(participant.identity)
            self._retire_invitation(gate, participant)
            self._save()

    def permission_set(self, room: Room, participant: Participant) -> None:
        """Somebody was given another permission by the server API."""
        self._own_permissions.pop(participant.sid, None)
        gate = self.find(room.name)
        if gate is not None:
            self._restrict(gate, participant)

    # --- what hosts want

    def rules_changed(self, gate: Gate) -> None:
        """Tell everybody and apply what can be applied."""
        room = self.room_of(gate)
        self._save()
        log.info("room rules changed", version=gate.rules.version)
        if room is None:
            return
        room.info.max_participants = gate.rules.max_people
        for participant in list(room.participants.values()):
            if self._restrict(gate, participant):
                participant.bump()
                room.participant_changed(participant)
        send(room, rules_packet(gate), to=[p for p in room.participants.values() if is_told(p)])

    def knocks_changed(self, gate: Gate) -> None:
        """Tell the admins who waits, and look again when somebody may have fallen silent."""
        loop = asyncio.get_running_loop()
        if gate.name not in self._tellings:
            self._tellings[gate.name] = loop.call_later(TELL_DELAY_S, self._tell_knocks, gate)
        self.schedule_sweep(gate)

    def schedule_sweep(self, gate: Gate) -> None:
        """Forget silent knockers when it is time to."""
        timer = self._sweeps.pop(gate.name, None)
        if timer is not None:
            timer.cancel()
        deadline_s = gate.lobby.deadline_s
        if deadline_s is not None:
            loop = asyncio.get_running_loop()
            self._sweeps[gate.name] = loop.call_at(deadline_s, self._sweep, gate)

    def role_of(self, gate: Gate, identity: str) -> str | None:
        """The role of somebody who is here or has one, None when nobody such is known."""
        room = self.room_of(gate)
        participant = room.by_identity(identity) if room is not None else None
        if participant is not None:
            return role_of(participant.claims)
        helper = self.roll.find_away(gate, identity)
        return helper.role if helper is not None else None

    def set_role(self, gate: Gate, identity: str, role: str) -> bool:
        """Give somebody another role who is here or has one; False when nobody such is known."""
        room = self.room_of(gate)
        participant = room.by_identity(identity) if room is not None else None
        if room is None or participant is None:
            return self._set_role_of_absent(gate, identity, role)
        gate.standing.set_role(identity, role)
        if role == "guest":
            self._retire_invitation(gate, participant)
        self._save()
        participant.claims = with_role(participant.claims, role)
        participant.info.attributes[ROLE_ATTRIBUTE] = role
        self.roll.note(gate, participant)
        self._restrict(gate, participant)
        participant.bump()
        room.participant_changed(participant)
        room.claims_changed(participant)
        if participant.claims.video.room_admin:
            participant.send_data("_reliable", knocks_packet(gate, _now_s()))
        log.info("role changed", room=room.info.sid, participant=participant.sid, role=role)
        return True

    def note_issued(self, gate: Gate, identity: str) -> None:
        """The door gave somebody a token: a lock that closes now does not shut this one out."""
        if gate.standing.note_member(identity):
            self._save()

    async def settled(self) -> None:
        """Return when everything that is to outlive a crash is written down."""
        if self._saving is not None:
            await asyncio.wait({self._saving})

    async def close(self) -> None:
        """Stop the timers and write down what is not yet."""
        for timer in [*self._sweeps.values(), *self._tellings.values()]:
            timer.cancel()
        self.roll.close()
        await self.settled()

    # --- inside

    def _retire_invitation(self, gate: Gate, participant: Participant) -> None:
        invitation = invitation_of(participant.claims)
        if invitation:
            self._retire(gate, invitation, participant.identity)

    def _retire(self, gate: Gate, invitation: str, identity: str) -> None:
        """Whoever lost a role gets none by the same link again; others who are here keep theirs."""
        room = self.room_of(gate)
        here = list(room.participants.values()) if room is not None else []
        for other in here:
            role = role_of(other.claims)
            came_of_it = invitation_of(other.claims) == invitation
            if came_of_it and other.identity != identity and role != "guest":
                gate.standing.set_role(other.identity, role)
        gate.standing.retire(invitation)
        gate.staff.retire(invitation, here={other.identity for other in here})

    def _set_role_of_absent(self, gate: Gate, identity: str, role: str) -> bool:
        helper = self.roll.find_away(gate, identity)
        if helper is None:
            return False
        gate.standing.set_role(identity, role)
        if role == "guest" and helper.invitation:
            self._retire(gate, helper.invitation, identity)
        self.roll.set_role(gate, helper, role)
        return True

    def _restrict(self, gate: Gate, participant: Participant) -> bool:
        """Make somebody's permission what the rules leave of it; True when it changed."""
        own = self._own_permissions.get(participant.sid)
        if own is None:
            own = models.ParticipantPermission()
            own.CopyFrom(participant.info.permission)
            self._own_permissions[participant.sid] = own
        wanted = restricted(own, gate.rules.allow) if is_guest(participant.claims) else own
        if permission_is_same(wanted, participant.info.permission):
            return False
        participant.info.permission.CopyFrom(wanted)
        for publication in list(participant.publisher.publications.values()):
            if publication.info.source in SHARED_SOURCES and wanted is not own:
                participant.send(
                    rtc.SignalResponse(
                        track_unpublished=rtc.TrackUnpublishedResponse(track_sid=publication.sid)
                    )
                )
                participant.publisher.end(publication)
        return True

    def _tell_knocks(self, gate: Gate) -> None:
        self._tellings.pop(gate.name, None)
        room = self.room_of(gate)
        if room is not None:
            send(room, knocks_packet(gate, _now_s()), to=admins_of(room))

    def _sweep(self, gate: Gate) -> None:
        self._sweeps.pop(gate.name, None)
        if gate.lobby.handle_deadline(_now_s()):
            self.knocks_changed(gate)
        else:
            self.schedule_sweep(gate)

    def _save(self) -> None:
        if self._path is None:
            return
        self._is_dirty = True
        if self._saving is None:
            self._saving = spawn(self._write(self._path), name="room-state", owner=self._tasks)

    async def _write(self, path: Path) -> None:
        try:
            while self._is_dirty:
                await asyncio.sleep(SAVE_DELAY_S)
                self._is_dirty = False
                gates = {**self._live, **self._hosted}
                state = {**self._fallen, **{name: gate.to_json() for name, gate in gates.items()}}
                data = json.dumps({"rooms": state}).encode()
                # Passcodes are in it.
                await asyncio.to_thread(write_atomically, path, data, mode=0o600)
        except OSError as error:
            log.warning("room state not saved", error=type(error).__name__)
        finally:
            self._saving = None

    def _restore(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                values = json.loads(file.read(_MAX_STATE_BYTES))
        except FileNotFoundError:
            return
        except (OSError, ValueError, RecursionError) as error:
            log.warning("room state not read", error=type(error).__name__)
            return
        rooms = values.get("rooms") if isinstance(values, Mapping) else None
        for name, state in rooms.items() if isinstance(rooms, Mapping) else ():
            if not isinstance(state, Mapping):
                continue
            if name in self._hosted:
                self._hosted[name].restore(state)
            else:
                self._fallen[name] = state


def _now_s() -> float:
    return asyncio.get_running_loop().time()
