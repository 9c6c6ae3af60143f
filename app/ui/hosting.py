"""The meeting this computer hosts, as the window sees it: one server, kept while it is wanted.

The server outlives the host's own leaving, so that the others can go on and the host can come
back; it ends with the program, with "end for everyone", or when another meeting is hosted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.runtime.paths import Paths
from app.runtime.settings import SettingsStore
from app.ui.home.destination import HostPlan

if TYPE_CHECKING:
    from app.host.hosted import HostedRoom, HostedServer


class Hosting:
    """At most one hosted meeting; belongs to the Qt thread."""

    def __init__(self, settings: SettingsStore, paths: Paths, *, use_keyring: bool) -> None:
        self._settings = settings
        self._paths = paths
        self._use_keyring = use_keyring
        self.server: HostedServer | None = None

    @property
    def room(self) -> HostedRoom | None:
        """The meeting that runs here now."""
        return self.server.room if self.server is not None else None

    def is_running(self, plan: HostPlan) -> bool:
        """Whether the meeting that runs here is this very one."""
        room = self.room
        return room is not None and (room.room, room.passcode) == (plan.room, plan.passcode)

    def would_end_another(self, plan: HostPlan | None) -> bool:
        """Whether following `plan` ends a meeting that runs here."""
        return plan is not None and self.room is not None and not self.is_running(plan)

    async def host(self, plan: HostPlan, name: str) -> HostedRoom:
        """Start the server, or keep the one that runs this very meeting."""
        from app.host.hosted import HostedServer

        room = self.room
        if room is not None and self.is_running(plan):
            return room
        await self.stop()
        server = HostedServer(self._settings.current, self._paths, use_keyring=self._use_keyring)
        self.server = server
        try:
            return await server.start(
                plan.room,
                name,
                plan.passcode,
                lan=plan.on_network,
                lobby=plan.lobby,
                locked=plan.locked,
            )
        except BaseException:
            if self.server is server:
                self.server = None
            raise

    async def stop(self) -> None:
        """End the hosted meeting, if there is one."""
        server, self.server = self.server, None
        if server is not None:
            await server.stop()
