"""Where the interface's commands arrive on the engine thread.

`EngineClient` has one method for each of these. The desk owns what outlives a meeting (devices,
speaker, tile slots, settings) and the meeting that is on, if any.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from app.engine import door
from app.engine.client import GeneratedMedia, JoinSpec, RoomLookup
from app.engine.dev_watch import DevWatch
from app.engine.developer import DeveloperView, RpcAnswer, RpcRequest
from app.engine.devices import Devices
from app.engine.events import (
    DeviceInfo,
    DeviceKind,
    DevicesChanged,
    JoinProgressed,
    JoinStage,
)
from app.engine.local_media import LocalMedia
from app.engine.meeting import Meeting
from app.engine.outbox import Outbox
from app.engine.pictures import Pictures
from app.engine.playback import Playback
from app.engine.transfers import ReceivePolicy
from app.media.play.mixer import PcmTap
from app.media.process.processor import AudioProcessor, PassThrough, make_processor
from app.protocol.invite import Link, LinkKind
from app.runtime.errors import Reason, WorldError
from app.runtime.settings import Settings
from app.runtime.tasks import TaskOwner, spawn

log = structlog.get_logger(__name__)

_GENERATED_DEVICES = DevicesChanged(
    (
        DeviceInfo(DeviceKind.MICROPHONE, "generated", "Generated tone", is_default=True),
        DeviceInfo(DeviceKind.SPEAKER, "generated", "No speaker", is_default=True),
        DeviceInfo(DeviceKind.CAMERA, "generated", "Generated picture", is_default=True),
    ),
    dict.fromkeys(DeviceKind, "generated"),
)


class Desk:
    """The engine as the interface sees it; made on the engine thread."""

    def __init__(
        self, settings: Settings, outbox: Outbox, *, generated: GeneratedMedia | None = None
    ) -> None:
        self._settings = settings
        self._outbox = outbox
        self._generated = generated
        self._owner = TaskOwner("desk")
        self._joining: asyncio.Task[None] | None = None
        self._meeting: Meeting | None = None
        self._held = door.HeldToken()
        processor = _processor(settings, generated)
        self.pictures = Pictures()
        self._playback = Playback(outbox.post, processor, silent=generated is not None)
        self._local = LocalMedia(
            outbox.post, processor, generated=generated, show_own=self.pictures.offer_own
        )
        self._devices = Devices(
            outbox.post,
            self._local,
            self._playback,
            {
                DeviceKind.MICROPHONE: settings.microphone_id,
                DeviceKind.CAMERA: settings.camera_id,
                DeviceKind.SPEAKER: settings.speaker_id,
            },
        )

    def take_settings(self, settings: Settings) -> None:
        """Go by other choices from now on; devices are chosen through `choose_device`."""
        self._settings = settings

    # -- entering and leaving ---------------------------------------------------------------

    async def look_up(self, link: Link, passcode: str) -> RoomLookup:
        """Ask the door about a room; a plain LiveKit server has none."""
        if link.kind is LinkKind.SERVER:
            return RoomLookup(link.room, known=False)
        return await door.look_up(link, passcode)

    async def join(self, spec: JoinSpec) -> None:
        """Enter a meeting; see `EngineClient.join`."""
        if self._meeting is not None or self._joining is not None:
            raise WorldError(Reason.REFUSED, detail="in a meeting already")
        self._joining = asyncio.current_task()
        try:
            meeting = await self._enter(spec)
        finally:
            self._joining = None
        # It may be over already: somebody ended it for everybody at this very moment.
        if not meeting.is_over:
            self._meeting = meeting
            spawn(self._open_media(meeting, spec), name="open media", owner=self._owner)

    async def _enter(self, spec: JoinSpec) -> Meeting:
        url, token, host_name = await self._admission(spec)
        meeting = Meeting(
            post=self._outbox.post,
            local=self._local,
            playback=self._playback,
            pictures=self.pictures,
            policy=self._receive_policy,
            on_ended=self._on_ended,
            typing_wished=lambda: self._settings.typing_notices,
        )
        try:
            await meeting.join(url, token, host_name=host_name)
        except BaseException:
            await meeting.abandon()
            raise
        return meeting

    def _receive_policy(self) -> ReceivePolicy:
        settings = self._settings
        return ReceivePolicy(
            folder=settings.downloads,
            ask=settings.ask_before_accepting,
            max_bytes=settings.max_receive_mb * 1_000_000,
        )

    async def _admission(self, spec: JoinSpec) -> tuple[str, str, str]:
        """Find out where to connect, with what, and who hosts."""
        link = spec.link
        if link is None:
            return spec.server_url, spec.token, ""
        if link.kind is LinkKind.SERVER:
            return link.server_url, link.token, ""
        if not link.room and spec.room:
            link = link.with_room(spec.room)
        lookup = await self._look_politely(link, spec.passcode)
        self._outbox.post(JoinProgressed(JoinStage.FOUND_SERVER))
        admission = await door.enter(
            link,
            name=spec.name,
            passcode=spec.passcode,
            token=self._held.token_for(link),
            on_lobby=lambda: self._outbox.post(JoinProgressed(JoinStage.IN_LOBBY)),
        )
        self._held = door.HeldToken(link.door_url, link.room, admission.token)
        return admission.server_url, admission.token, lookup.host_name

    async def _look_politely(self, link: Link, passcode: str) -> RoomLookup:
        """Learn the host's name; what the door refuses to tell, entering will show."""
        try:
            return await door.look_up(link, passcode)
        except WorldError as error:
            if error.reason in (Reason.NO_ROUTE, Reason.REFUSED, Reason.TIMEOUT, Reason.TLS):
                raise
            return RoomLookup(link.room)

    async def _open_media(self, meeting: Meeting, spec: JoinSpec) -> None:
        """Speaker, microphone and camera: nobody waits for them at the door."""
        if meeting.is_over:
            return
        for kind, device_id in (
            (DeviceKind.MICROPHONE, spec.microphone_id),
            (DeviceKind.CAMERA, spec.camera_id),
            (DeviceKind.SPEAKER, spec.speaker_id),
        ):
            if device_id:
                self._devices.wish(kind, device_id)
        await self._playback.start(self._devices.speaker_id)
        try:
            await self._local.enter(meeting, mic=spec.mic_on, camera=spec.camera_on)
        except WorldError as error:
            # The token does not let us publish; seeing and hearing go on.
            log.info("not publishing", reason=str(error.reason))

    def _on_ended(self) -> None:
        if self._meeting is None:
            return
        self._meeting = None
        spawn(self._playback.stop(), name="close speaker", owner=self._owner)

    async def cancel_join(self) -> None:
        """Give up a join under way."""
        if self._joining is not None:
            self._joining.cancel()

    async def retry_now(self) -> None:
        """Try to reconnect at once."""
        if self._meeting is not None:
            await self._meeting.retry_now()

    async def leave(self, *, end_for_all: bool) -> None:
        """Leave; without a meeting nothing happens."""
        if self._meeting is not None:
            await self._meeting.leave(end_for_all=end_for_all)

    # -- one's own media --------------------------------------------------------------------

    async def set_microphone(self, on: bool) -> None:
        """Mute or unmute."""
        await self._local.set_microphone(on)

    async def set_camera(self, on: bool) -> None:
        """Start or stop the camera."""
        await self._local.set_camera(on)

    async def set_push_to_talk(self, held: bool) -> None:
        """Talk while `held`."""
        await self._local.hold_to_talk(held)

    async def choose_device(self, kind: DeviceKind, device_id: str) -> None:
        """Use another device."""
        await self._devices.choose(kind, device_id)

    async def refresh_devices(self) -> None:
        """Post which devices exist."""
        if self._generated is not None:
            self._outbox.post(_GENERATED_DEVICES)
        else:
            await self._devices.refresh()

    async def report_devices(self, devices: tuple[DeviceInfo, ...]) -> None:
        """Take the lists that the interface has from Qt."""
        if self._generated is None:
            await self._devices.take_report(devices)

    async def start_preview(self, *, mic: bool, camera: bool) -> None:
        """Open microphone and camera before joining."""
        await self._local.preview(mic=mic, camera=camera)

    async def stop_preview(self) -> None:
        """Close them again."""
        await self._local.end_preview()

    async def play_test_sound(self) -> None:
        """Play a chime."""
        await self._playback.play_test_sound(self._devices.speaker_id)

    # -- chat and files ---------------------------------------------------------------------

    async def send_chat(
        self, text: str, *, to: tuple[str, ...], reply_to: str, files: tuple[Path, ...]
    ) -> str:
        """Send a line."""
        return await self.here.chat.send(text, to=to, reply_to=reply_to, files=files)

    async def retry_chat(self, line_id: str) -> None:
        """Send a failed line again."""
        await self.here.chat.retry(line_id)

    async def edit_chat(self, line_id: str, text: str) -> None:
        """Change a line of one's own."""
        await self.here.chat.edit(line_id, text)

    async def delete_chat(self, author: str, line_id: str) -> None:
        """Delete a line."""
        await self.here.chat.delete(author, line_id)

    async def react_to_chat(self, author: str, line_id: str, glyph: str, on: bool) -> None:
        """Answer a line with a glyph."""
        await self.here.chat.react(author, line_id, glyph, on)

    async def set_typing(self, is_typing: bool, to: tuple[str, ...]) -> None:
        """Tell that one writes; without a meeting nothing happens."""
        if self._meeting is not None:
            await self._meeting.chat.set_typing(is_typing, to)

    async def send_file(self, path: Path, to: tuple[str, ...]) -> str:
        """Send a file."""
        return await self.here.send_file(path, to)

    async def send_files(self, paths: tuple[Path, ...], to: tuple[str, ...]) -> tuple[str, ...]:
        """Send files and folders."""
        return tuple([await self.here.send_file(path, to) for path in paths])

    async def cancel_transfer(self, transfer_id: str) -> None:
        """Stop a transfer."""
        if self._meeting is not None:
            await self._meeting.transfers.cancel(transfer_id)

    async def pause_transfer(self, transfer_id: str) -> None:
        """Hold a transfer."""
        await self.here.transfers.pause(transfer_id)

    async def resume_transfer(self, transfer_id: str) -> None:
        """Go on with it."""
        await self.here.transfers.resume(transfer_id)

    async def accept_transfer(self, transfer_id: str) -> None:
        """Take what was offered."""
        await self.here.transfers.accept(transfer_id)

    async def decline_transfer(self, transfer_id: str) -> None:
        """Refuse it."""
        await self.here.transfers.decline(transfer_id)

    async def retry_transfer(self, transfer_id: str) -> None:
        """Send a file again."""
        await self.here.transfers.retry(transfer_id)

    async def set_name(self, name: str) -> None:
        """Change one's own name."""
        await self.here.set_name(name)

    @property
    def here(self) -> Meeting:
        """The meeting that is on; PEER_GONE when there is none."""
        if self._meeting is None:
            raise WorldError(Reason.PEER_GONE, detail="not in a meeting")
        return self._meeting

    # -- looking in -------------------------------------------------------------------------

    async def add_mix_tap(self, tap: PcmTap) -> None:
        """Let `tap` hear, on a media thread, what goes to the speaker."""
        self._playback.add_tap(tap)

    async def remove_mix_tap(self, tap: PcmTap) -> None:
        """Stop `tap`."""
        self._playback.remove_tap(tap)

    # -- the developer panel ----------------------------------------------------------------

    def _dev_watch(self) -> DevWatch:
        if self._meeting is None:
            raise WorldError(Reason.PEER_GONE, detail="not in a meeting")
        return self._meeting.dev_watch

    async def developer_view(self) -> DeveloperView:
        """Describe the meeting to a developer."""
        return DeveloperView() if self._meeting is None else self._dev_watch().view()

    async def developer_watch(self, identity: str, name: str, on: bool) -> None:
        """Begin or cease to read a data track."""
        self._dev_watch().watch(identity, name, on)

    async def developer_call(self, request: RpcRequest) -> RpcAnswer:
        """Call somebody's method."""
        return await self._dev_watch().call(request)

    async def stats(self) -> dict[str, object]:
        """Give counters."""
        report: dict[str, object] = {"voices": self._playback.stats()}
        if self._meeting is not None:
            report["transfers"] = self._meeting.transfers.stats()
            session = self._meeting.room.session
            if session is not None:
                report["session"] = await session.get_stats()
        return report

    async def aclose(self) -> None:
        """Leave and close everything."""
        if self._joining is not None:
            self._joining.cancel()
        if self._meeting is not None:
            await self._meeting.leave()
        await self._owner.close()
        await self._devices.aclose()
        await self._local.aclose()
        await self._playback.aclose()
        self.pictures.close()


def _processor(settings: Settings, generated: GeneratedMedia | None) -> AudioProcessor:
    # A generated tone is exactly what noise suppression is made to remove.
    if generated is not None or not settings.echo_cancellation:
        return PassThrough()
    return make_processor(gain=settings.gain_control)
