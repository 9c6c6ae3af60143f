"""A meeting hosted on this computer: keys, server process, invitation, the host's own token."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class HostedRoom:
    """What the host's app needs once its server accepts connections.

    `ws_url` and `token` are for the host's own client, over loopback; `door_url`, `address` and
    the links are for everybody else, by the address of this computer on the network (loopback
    when it has none, and `on_network` is False). `invite_link` is the `lanai://` form,
    `web_link` its twin for browsers.
    """

    room: str
    host_name: str
    passcode: str
    ws_url: str
    token: str = field(repr=False)
    door_url: str
    address: str
    on_network: bool
    invite_link: str = field(repr=False)
    web_link: str = field(repr=False)
    invite_expires_at_s: float
