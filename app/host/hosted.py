"""A meeting hosted on this computer: keys, server process, invitation, the host's own token."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from app.host.keys import KeyPair, load_or_make_keys
from app.host.network import LOOPBACK, is_pair_free, lan_address, port_pairs
from app.host.process import Ready, ServerProcess, ServerState
from app.host.tokens import INVITE_TTL_S, host_token, invitation
from app.protocol.ids import slug
from app.protocol.invite import Link, LinkKind, build_invite
from app.runtime.errors import Reason, WorldError
from app.runtime.paths import Paths
from app.runtime.settings import Settings

log = structlog.get_logger(__name__)


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


class HostedServer:
    """Hosts one meeting; its coroutines may be awaited from any loop.

    `on_state` is called on a thread of the supervisor when the process died, is back, or
    could not be brought back.
    """

    def __init__(
        self,
        settings: Settings,
        paths: Paths,
        *,
        use_keyring: bool = True,
        on_state: Callable[[ServerState], None] | None = None,
    ) -> None:
        self._settings = settings
        self._paths = paths
        self._use_keyring = use_keyring
        self._on_state = on_state
        self._process: ServerProcess | None = None
        self._keys: KeyPair | None = None
        self._room: HostedRoom | None = None
        self._state_file: Path | None = None

    @property
    def room(self) -> HostedRoom | None:
        """The meeting being hosted."""
        return self._room

    @property
    def pid(self) -> int:
        """The server process now running, 0 for none."""
        return self._process.pid if self._process is not None else 0

    @property
    def restarts(self) -> int:
        """How often the process had to be started again."""
        return self._process.restarts if self._process is not None else 0

    @property
    def keys_in_keyring(self) -> bool:
        """Whether the system's key ring keeps the keys, rather than a file."""
        return self._keys is not None and self._keys.in_keyring

    async def start(
        self,
        room_name: str,
        host_name: str,
        passcode: str = "",
        *,
        lan: bool = True,
        lobby: bool = False,
        locked: bool = False,
    ) -> HostedRoom:
        """Start the server with one room; PORT_TAKEN, SERVER_DIED, TIMEOUT.

        `lan` binds this computer's network address beside loopback. Guests wait in the `lobby`
        for the host; `locked` lets nobody new in. What the host changes later, the server keeps
        in a file, for the case that it has to be started again.
        """
        room: dict[str, object] = {
            "name": room_name,
            "passcode": passcode,
            "host_name": host_name,
            "lobby": lobby,
            "locked": locked,
        }
        return await asyncio.to_thread(self._start, room_name, host_name, passcode, room, lan)

    async def stop(self) -> None:
        """Ask the server to drain and exit."""
        process, self._process, self._room = self._process, None, None
        if process is not None:
            await asyncio.to_thread(process.stop)
        if self._state_file is not None:
            await asyncio.to_thread(self._state_file.unlink, missing_ok=True)

    def renew_invite(self) -> HostedRoom:
        """Sign a new invitation; the old one stays good until it expires."""
        if self._room is None or self._keys is None:
            raise RuntimeError("nothing is hosted")
        self._room = self._with_invite(self._room, self._keys)
        return self._room

    def _start(
        self,
        room_name: str,
        host_name: str,
        passcode: str,
        room: dict[str, object],
        lan: bool,
    ) -> HostedRoom:
        if self._process is not None:
            raise RuntimeError("already hosting")
        keys = load_or_make_keys(self._paths, use_keyring=self._use_keyring)
        network = lan_address() if lan else None
        addresses = [LOOPBACK, *([network] if network else [])]
        # What is left from an app that crashed is another meeting's.
        self._state_file = self._paths.config / f"hosted-{slug(room_name)}.json"
        self._state_file.unlink(missing_ok=True)
        config: dict[str, object] = {
            "bind": addresses,
            "keys": {keys.api_key: keys.api_secret},
            "door": True,
            "rooms": [room],
            "state_file": str(self._state_file),
        }
        ready = self._launch(config, addresses)
        address = f"{network or LOOPBACK}:{ready.port}"
        self._keys = keys
        bare = HostedRoom(
            room=room_name,
            host_name=host_name,
            passcode=passcode,
            ws_url=f"ws://{LOOPBACK}:{ready.port}",
            token=host_token(keys, room=room_name, name=host_name, now_s=time.time()),
            door_url=f"http://{address}",
            address=address,
            on_network=network is not None,
            invite_link="",
            web_link="",
            invite_expires_at_s=0.0,
        )
        self._room = self._with_invite(bare, keys)
        log.info("hosting", on_network=network is not None)
        return self._room

    def _launch(self, config: dict[str, object], addresses: list[str]) -> Ready:
        wanted = self._settings.host_port, self._settings.host_rtc_port
        for port, rtc_port in port_pairs(*wanted):
            if not is_pair_free(addresses, port, rtc_port):
                continue
            process = ServerProcess(
                {**config, "port": port, "rtc_port": rtc_port},
                log_file=self._paths.logs / "server.log",
                on_state=self._on_state,
            )
            try:
                ready = process.start()
            except WorldError as error:
                if error.reason is Reason.PORT_TAKEN and port:
                    continue
                raise
            self._process = process
            return ready
        raise WorldError(Reason.PORT_TAKEN, retry=True)

    @staticmethod
    def _with_invite(room: HostedRoom, keys: KeyPair) -> HostedRoom:
        now_s = time.time()
        host, _, port = room.address.rpartition(":")
        invite = invitation(keys, room=room.room, now_s=now_s)
        link = Link(LinkKind.INVITE, host, int(port), room=room.room, invite=invite)
        return replace(
            room,
            invite_link=build_invite(link),
            web_link=build_invite(link, web=True),
            invite_expires_at_s=now_s + INVITE_TTL_S,
        )
