"""The interface's only handle on the engine: commands go in, events and pictures come out.

`EngineClient` is made and used on the Qt thread (or any thread with an asyncio loop). All that
it does happens on the engine thread, which has an asyncio loop of its own and does the heavy
imports; importing this module loads none of them. Every coroutine here hops to that thread,
may be awaited from any loop, and raises `WorldError` when the world says no.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from app.engine.developer import DeveloperView, RpcAnswer, RpcRequest
from app.engine.events import DeviceInfo, DeviceKind, Event, Role, VideoKind
from app.engine.outbox import Outbox
from app.protocol.invite import Link
from app.runtime.settings import Settings

if TYPE_CHECKING:
    from app.engine.desk import Desk
    from app.media.play.video_slot import VideoSlot

log = structlog.get_logger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GeneratedMedia:
    """Moving, counted pictures and a tone in place of camera and microphone (demo, tests)."""

    colour: tuple[int, int, int] = (62, 207, 187)
    tone_hz: float = 330.0
    width: int = 640
    height: int = 360
    fps: int = 15


@dataclass(frozen=True, slots=True)
class JoinSpec:
    """How to enter a meeting: through a door (`link`) or with a token (`server_url`, `token`).

    A `link` of kind SERVER already carries its token. `mic_on` and `camera_on` are wishes: a
    missing device is told by `DeviceFailed` and never keeps anybody out. Empty device ids mean
    the one in the settings, else the system's default.
    """

    name: str
    link: Link | None = None
    server_url: str = ""
    token: str = field(default="", repr=False)
    room: str = ""
    passcode: str = field(default="", repr=False)
    mic_on: bool = True
    camera_on: bool = True
    microphone_id: str = ""
    camera_id: str = ""
    speaker_id: str = ""


@dataclass(frozen=True, slots=True)
class RoomLookup:
    """What the door tells about a room before anybody enters.

    `known` is False when the address is a plain LiveKit server: it has no door to ask.
    """

    room: str
    host_name: str = ""
    people: tuple[str, ...] = ()
    needs_passcode: bool = False
    lobby: bool = False
    locked: bool = False
    known: bool = True


class EngineClient:
    """Starts the engine thread and speaks to it."""

    def __init__(self, settings: Settings, *, generated: GeneratedMedia | None = None) -> None:
        self._settings = settings
        self._generated = generated
        self._outbox = Outbox()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._desk: Desk | None = None
        self._ready = threading.Event()
        self._thread: threading.Thread | None = None
        self._stop: asyncio.Event | None = None
        self._failure: BaseException | None = None

    @property
    def settings(self) -> Settings:
        """The choices in force: set them anew when somebody changed one."""
        return self._settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        self._settings = settings
        if self._loop is not None and self._desk is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._desk.take_settings, settings)

    # -- events -----------------------------------------------------------------------------

    @property
    def on_events(self) -> Callable[[], None] | None:
        """Called on the engine thread when the queue turns non-empty."""
        return self._outbox.on_ready

    @on_events.setter
    def on_events(self, callback: Callable[[], None] | None) -> None:
        self._outbox.on_ready = callback

    def take_events(self) -> list[Event]:
        """Return every event since the last call, oldest first (any thread)."""
        return self._outbox.take()

    # -- life -------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the engine thread; returns at once, commands wait until it is ready."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
            self._thread.start()

    async def aclose(self) -> None:
        """Leave, close every device, end the thread."""
        thread = self._thread
        if thread is None:
            return
        await asyncio.to_thread(self._ready.wait)
        if self._loop is not None and self._stop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)
        await asyncio.to_thread(thread.join)
        self._thread = None

    async def call(self, work: Callable[[Desk], Coroutine[Any, Any, T]]) -> T:
        """Run `work` on the engine thread and wait for its result here."""
        self.start()
        if not self._ready.is_set():
            await asyncio.to_thread(self._ready.wait)
        if self._loop is None or self._desk is None:
            raise RuntimeError("the engine did not start") from self._failure
        return await asyncio.wrap_future(
            asyncio.run_coroutine_threadsafe(work(self._desk), self._loop)
        )

    # -- entering and leaving ---------------------------------------------------------------

    async def look_up(self, link: Link, passcode: str = "") -> RoomLookup:
        """Ask the door about the room; NO_ROUTE, TIMEOUT, NOT_FOUND, PASSCODE."""
        return await self.call(lambda desk: desk.look_up(link, passcode))

    async def join(self, spec: JoinSpec) -> None:
        """Enter a meeting; returns after `MeetingJoined` was posted.

        Posts `JoinProgressed` on the way. Raises NO_ROUTE, REFUSED, TLS, TIMEOUT, EXPIRED, FORGED,
        PASSCODE, FULL, LOCKED, DENIED, NOT_FOUND. Ends the preview.
        """
        await self.call(lambda desk: desk.join(spec))

    async def cancel_join(self) -> None:
        """Give up a `join` under way; that call then raises `asyncio.CancelledError`."""
        await self.call(lambda desk: desk.cancel_join())

    async def retry_now(self) -> None:
        """Do not wait for the next attempt to reconnect: try at once."""
        await self.call(lambda desk: desk.retry_now())

    async def leave(self, *, end_for_all: bool = False) -> None:
        """Leave, or end the meeting for everybody; posts `MeetingEnded`.

        Raises DENIED, and nobody leaves, when this person may not end it.
        """
        await self.call(lambda desk: desk.leave(end_for_all=end_for_all))

    # -- one's own media --------------------------------------------------------------------

    async def set_microphone(self, on: bool) -> None:
        """Mute or unmute; `LocalMediaChanged` tells what came of it."""
        await self.call(lambda desk: desk.set_microphone(on))

    async def set_camera(self, on: bool) -> None:
        """Start or stop the camera; `LocalMediaChanged` tells what came of it."""
        await self.call(lambda desk: desk.set_camera(on))

    async def set_push_to_talk(self, held: bool) -> None:
        """Open the microphone while `held`, then go back to what the button says."""
        await self.call(lambda desk: desk.set_push_to_talk(held))

    async def choose_device(self, kind: DeviceKind, device_id: str) -> None:
        """Use another device from now on; takes effect at once where one is open."""
        await self.call(lambda desk: desk.choose_device(kind, device_id))

    async def refresh_devices(self) -> None:
        """Look which devices exist and post `DevicesChanged`."""
        await self.call(lambda desk: desk.refresh_devices())

    async def report_devices(self, devices: tuple[DeviceInfo, ...]) -> None:
        """Tell which devices the window system sees, at first and whenever that changes.

        It lends the cameras its names; a change makes the engine look anew, replace a device
        that was unplugged while used (`DeviceFailed`), take back a chosen one that came again,
        and post `DevicesChanged`.
        """
        await self.call(lambda desk: desk.report_devices(devices))

    async def start_preview(self, *, mic: bool, camera: bool) -> None:
        """Open microphone and camera before joining: `LevelChanged`, and the tile with identity "".

        Call it again with other wishes to change what is open.
        """
        await self.call(lambda desk: desk.start_preview(mic=mic, camera=camera))

    async def stop_preview(self) -> None:
        """Close what `start_preview` opened."""
        await self.call(lambda desk: desk.stop_preview())

    async def play_test_sound(self) -> None:
        """Play a short chime on the chosen speaker; returns when it ended."""
        await self.call(lambda desk: desk.play_test_sound())

    # -- chat and files ---------------------------------------------------------------------

    async def send_chat(
        self,
        text: str,
        *,
        to: tuple[str, ...] = (),
        reply_to: str = "",
        files: tuple[Path, ...] = (),
    ) -> str:
        """Send a line to everybody, or privately to `to`; returns its id.

        `reply_to` is the id of the line it answers, `files` are pictures that go with it. One's
        own `ChatReceived` follows at once, later ones tell how it fares. Raises TOO_LARGE,
        FILE_GONE.
        """
        return await self.call(
            lambda desk: desk.send_chat(text, to=to, reply_to=reply_to, files=files)
        )

    async def retry_chat(self, line_id: str) -> None:
        """Send a line that failed again, under the same id."""
        await self.call(lambda desk: desk.retry_chat(line_id))

    async def edit_chat(self, line_id: str, text: str) -> None:
        """Change a line of one's own; DENIED, REFUSED (empty), TOO_LARGE, PEER_GONE."""
        await self.call(lambda desk: desk.edit_chat(line_id, text))

    async def delete_chat(self, author: str, line_id: str) -> None:
        """Delete one's own line, or as a host anybody's; DENIED, PEER_GONE."""
        await self.call(lambda desk: desk.delete_chat(author, line_id))

    async def react_to_chat(self, author: str, line_id: str, glyph: str, on: bool) -> None:
        """Answer a line with one of `chat.GLYPHS`, or take that back; PEER_GONE."""
        await self.call(lambda desk: desk.react_to_chat(author, line_id, glyph, on))

    async def set_typing(self, is_typing: bool, to: tuple[str, ...] = ()) -> None:
        """Tell that one writes to `to` (empty: everybody), or stopped; may be called per key."""
        await self.call(lambda desk: desk.set_typing(is_typing, to))

    async def send_file(self, path: Path, to: tuple[str, ...] = ()) -> str:
        """Start to send a file or a folder (one drop) to `to` (identities) or everybody.

        Returns the transfer's id. Raises FILE_GONE when it cannot be read now, TOO_LARGE for a
        folder of too many files; later trouble arrives as `TransferChanged`.
        """
        return await self.call(lambda desk: desk.send_file(path, to))

    async def send_files(self, paths: Sequence[Path], to: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Start to send several, each a transfer of its own; returns their ids in order."""
        return await self.call(lambda desk: desk.send_files(tuple(paths), to))

    async def cancel_transfer(self, transfer_id: str) -> None:
        """Stop a transfer in either direction, there too; a half-received file is deleted."""
        await self.call(lambda desk: desk.cancel_transfer(transfer_id))

    async def pause_transfer(self, transfer_id: str) -> None:
        """Hold a transfer in either direction; the other side is told.

        DENIED when it cannot pause: what an official SDK sends comes all the same.
        """
        await self.call(lambda desk: desk.pause_transfer(transfer_id))

    async def resume_transfer(self, transfer_id: str) -> None:
        """Go on with a transfer that this side has paused."""
        await self.call(lambda desk: desk.resume_transfer(transfer_id))

    async def accept_transfer(self, transfer_id: str) -> None:
        """Take what was offered (state OFFERED, incoming)."""
        await self.call(lambda desk: desk.accept_transfer(transfer_id))

    async def decline_transfer(self, transfer_id: str) -> None:
        """Refuse what was offered; the sender is told."""
        await self.call(lambda desk: desk.decline_transfer(transfer_id))

    async def retry_transfer(self, transfer_id: str) -> None:
        """Try a failed, cancelled or declined transfer again, under the same id.

        Between Lanai apps it goes on where it stopped. One that came in is asked for again, if
        its sender can (`resumable`).
        """
        await self.call(lambda desk: desk.retry_transfer(transfer_id))

    async def set_name(self, name: str) -> None:
        """Change one's own name for everybody."""
        await self.call(lambda desk: desk.set_name(name))

    # -- oneself, beside words ----------------------------------------------------------------

    async def set_hand(self, up: bool) -> None:
        """Raise one's hand or take it down; `PersonChanged` shows it to everybody."""
        await self.call(lambda desk: desk.here.moderation.set_hand(up))

    async def set_status(self, text: str) -> None:
        """Say a few words about oneself, "" for none."""
        await self.call(lambda desk: desk.here.moderation.set_status(text))

    async def send_reaction(self, emoji: str) -> None:
        """React; one's own `ReactionReceived` comes at once. DENIED without the right to."""
        await self.call(lambda desk: desk.here.moderation.send_reaction(emoji))

    # -- for hosts and co-hosts ---------------------------------------------------------------
    # All of these are asked of the server with one's own token and raise DENIED, NOT_FOUND (the
    # person left, the knocker gave up), REFUSED (with a detail) or a network reason. What came
    # of it arrives as events, as for everybody.

    async def mute_person(self, identity: str) -> None:
        """Mute somebody; only that person can unmute again."""
        await self.call(lambda desk: desk.here.moderation.mute(identity))

    async def mute_everybody(self) -> None:
        """Mute all guests."""
        await self.call(lambda desk: desk.here.moderation.mute_everybody())

    async def stop_video(self, identity: str) -> None:
        """Turn somebody's camera off."""
        await self.call(lambda desk: desk.here.moderation.stop_video(identity))

    async def stop_share(self, identity: str) -> None:
        """Stop what somebody shares."""
        await self.call(lambda desk: desk.here.moderation.stop_share(identity))

    async def remove_person(self, identity: str) -> None:
        """Send somebody away; where Lanai hosts, that one has to be admitted to come back."""
        await self.call(lambda desk: desk.here.moderation.remove(identity))

    async def lower_hand(self, identity: str) -> None:
        """Take somebody's hand down."""
        await self.call(lambda desk: desk.here.moderation.lower_hand(identity))

    async def rename_person(self, identity: str, name: str) -> None:
        """Give somebody another name, for everybody, as long as the meeting lasts."""
        await self.call(lambda desk: desk.here.moderation.rename(identity, name))

    async def set_role(self, identity: str, role: Role) -> None:
        """Make somebody host, co-host or guest; the last host stays one (REFUSED, `last_host`)."""
        await self.call(lambda desk: desk.here.moderation.set_role(identity, role))

    async def answer_knock(self, knock_id: str, *, admit: bool) -> None:
        """Let somebody who waits in the lobby in, or not; `KnocksChanged` follows."""
        await self.call(lambda desk: desk.here.moderation.answer_knock(knock_id, admit=admit))

    async def answer_all_knocks(self, *, admit: bool) -> None:
        """The same for everybody who waits."""
        await self.call(lambda desk: desk.here.moderation.answer_all_knocks(admit=admit))

    async def change_rules(
        self,
        *,
        passcode: str | None = None,
        lobby: bool | None = None,
        locked: bool | None = None,
        max_people: int | None = None,
        share: bool | None = None,
        chat: bool | None = None,
        files: bool | None = None,
    ) -> None:
        """Change what is given; `RoomRulesChanged` tells everybody. `passcode` "" means none."""
        allow = {"share": share, "chat": chat, "files": files}
        wanted: dict[str, object] = {
            "passcode": passcode,
            "lobby": lobby,
            "locked": locked,
            "max_people": max_people,
            "allow": {key: value for key, value in allow.items() if value is not None} or None,
        }
        changes = {key: value for key, value in wanted.items() if value is not None}
        await self.call(lambda desk: desk.here.moderation.change_rules(changes))

    # -- pictures ---------------------------------------------------------------------------

    def tile_slot(self, identity: str, kind: VideoKind, on_ready: Callable[[], None]) -> VideoSlot:
        """Give the slot that will hold the newest picture of a person (any thread).

        `identity` "" is one's own camera. `on_ready` is called on a media thread when a picture
        is waiting. The slot outlives camera switches and reconnects; give it back with
        `release_slot`.
        """
        self._ready.wait()
        if self._desk is None:
            raise RuntimeError("the engine did not start") from self._failure
        return self._desk.pictures.open_slot(identity, kind, on_ready)

    def release_slot(self, slot: VideoSlot) -> None:
        """Stop filling `slot` (any thread)."""
        if self._desk is not None:
            self._desk.pictures.close_slot(slot)

    async def stats(self) -> dict[str, object]:
        """Give counters of connection, media, mailboxes and transfers, for the statistics view."""
        return await self.call(lambda desk: desk.stats())

    # -- the developer panel ----------------------------------------------------------------

    async def developer_view(self) -> DeveloperView:
        """Give people's attributes, data tracks and what watched ones carry; empty outside."""
        return await self.call(lambda desk: desk.developer_view())

    async def developer_watch(self, identity: str, name: str, on: bool) -> None:
        """Begin or cease to read somebody's data track; PEER_GONE when there is none."""
        await self.call(lambda desk: desk.developer_watch(identity, name, on))

    async def developer_call(self, request: RpcRequest) -> RpcAnswer:
        """Call somebody's method and wait for the answer; PEER_GONE without a meeting."""
        return await self.call(lambda desk: desk.developer_call(request))

    # -- the engine thread ------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            self._failure = error
            log.exception("engine thread failed")
        finally:
            self._ready.set()

    async def _main(self) -> None:
        # The codecs and aiortc take half a second to import: here, so that the first window
        # is painted meanwhile.
        from app.engine.desk import Desk

        self._stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._desk = Desk(self._settings, self._outbox, generated=self._generated)
        self._ready.set()
        try:
            await self._stop.wait()
        finally:
            await self._desk.aclose()
