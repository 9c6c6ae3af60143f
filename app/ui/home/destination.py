"""Where a person is going: a link somebody gave them, or a meeting this computer will host."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app.engine.events import MeetingJoined
from app.protocol.invite import Link, LinkKind
from app.runtime.settings import Recent

if TYPE_CHECKING:
    from app.host.hosted import HostedRoom


@dataclass(frozen=True, slots=True)
class HostPlan:
    """The meeting to host; `on_network` binds this computer's address beside loopback.

    Guests wait in the `lobby` until the host lets them in; `locked` lets nobody new in.
    """

    room: str
    passcode: str = ""
    on_network: bool = True
    lobby: bool = False
    locked: bool = False


@dataclass(frozen=True, slots=True)
class Destination:
    """Exactly one of `link` and `host` is set. `text` is what was typed, to edit it again."""

    link: Link | None = None
    host: HostPlan | None = None
    text: str = ""

    @property
    def room(self) -> str:
        """The meeting's name, "" when the link names none."""
        if self.host is not None:
            return self.host.room
        return self.link.room if self.link is not None else ""

    @property
    def address(self) -> str:
        """Host and port, "" when hosting."""
        return self.link.address if self.link is not None else ""

    @property
    def has_door(self) -> bool:
        """Whether somebody can be asked about the room before joining."""
        return self.link is not None and self.link.kind is not LinkKind.SERVER

    @property
    def is_nearby(self) -> bool:
        """Whether the address is a private one: this network, or this computer."""
        if self.link is None:
            return True
        try:
            return ipaddress.ip_address(self.link.host).is_private
        except ValueError:
            return self.link.host.endswith(".local") or self.link.host == "localhost"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the pre-join page collected."""

    name: str
    passcode: str = ""
    mic_on: bool = True
    camera_on: bool = True


def recent_of(
    destination: Destination, hosted: HostedRoom | None, joined: MeetingJoined, at_ms: int
) -> Recent | None:
    """What to remember of a meeting just entered; no invitation, passcode or token."""
    facts = Recent(joined.room, "", at_ms, host_name=joined.host_name, people=len(joined.people))
    if destination.host is not None:
        if hosted is None:
            return None
        return replace(facts, address=hosted.address, hosted_here=True)
    link = destination.link
    if link is None or link.kind is LinkKind.SERVER:
        # A server that wants a token cannot be entered again without it.
        return None
    return replace(facts, address=link.address, secure=link.secure)
