"""Where a person is going: a link somebody gave them, or a meeting this computer will host."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from app.protocol.invite import Link, LinkKind


@dataclass(frozen=True, slots=True)
class HostPlan:
    """The meeting to host; `on_network` binds this computer's address beside loopback."""

    room: str
    passcode: str = ""
    on_network: bool = True


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
