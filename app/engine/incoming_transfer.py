"""A drop on its way to this computer.

From a Lanai app it is offered first and comes from the byte that we name, in as many streams as
it takes. From any other program it is one stream that comes unasked: until a person has said yes
it is held under its temporary name, and only so much of it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from app.engine.events import TransferState
from app.engine.saving import Saving
from app.engine.transfer_lanes import BLOCK_BYTES
from app.engine.transfer_record import Record, Teller, reason_of
from app.engine.transfer_wire import Incoming, NoSuchCallError, StreamBrokenError, TransferWire
from app.protocol.errors import ProtocolError
from app.protocol.transfers import (
    CANCEL,
    CANCELLED,
    PAUSE,
    PAUSED,
    RESUME,
    SHA256_ATTRIBUTE,
    Answer,
    FileOffer,
    OfferAnswer,
    PartialFile,
    Progress,
    Refusal,
    Resume,
    Stop,
    encode_progress,
    encode_resume,
    encode_stop,
)
from app.runtime.errors import Reason, WorldError
from app.runtime.tasks import TaskOwner, spawn

log = structlog.get_logger(__name__)

HELD_BYTES = 32_000_000
GRACE_S = 30.0
_REFUSALS = {
    Reason.TOO_LARGE: Refusal.TOO_LARGE,
    Reason.DISK_FULL: Refusal.DISK_FULL,
    Reason.DAMAGED: Refusal.DAMAGED,
}


class IncomingTransfer:
    """One drop, from the offer or the stream to the file."""

    def __init__(
        self,
        record: Record,
        offer: FileOffer,
        saving: Saving,
        wire: TransferWire,
        teller: Teller,
        tasks: TaskOwner,
        *,
        is_lanai: bool,
        max_bytes: int,
        on_saved: Callable[[], None],
    ) -> None:
        self.record = record
        self.record.pausable = is_lanai
        self.offer = offer
        self.is_lanai = is_lanai
        self._saving = saving
        self._wire = wire
        self._teller = teller
        self._tasks = tasks
        self._max_bytes = max_bytes
        self._on_saved = on_saved
        self._stream: Incoming | None = None
        self._reading: asyncio.Task[None] | None = None
        self._answered = asyncio.Event()
        self._grace: asyncio.TimerHandle | None = None
        self._paused = False
        self._is_ending = False

    @property
    def identity(self) -> str:
        """Who sends it."""
        return self.record.peer_identity

    @property
    def can_go_on(self) -> bool:
        """Whether an offer of the same goes on with this."""
        return not self.record.state.is_over or self.record.resumable

    def is_left_by_namesake(self, offer: FileOffer, name: str) -> bool:
        """Whether its sender is gone, and somebody of that name offers the same now."""
        is_gone = self.identity not in self._wire.others()
        is_same = self.is_lanai and (self.offer, self.record.peer_name) == (offer, name)
        return is_gone and is_same and self.can_go_on

    def follow(self, identity: str) -> None:
        """Take the rest from the sender's new identity: an app that was started again has one."""
        self.record.peer_identity = identity
        self._saving.note_sender(identity)

    # -- what a person asks -----------------------------------------------------------------

    def begin(self, *, ask: bool) -> None:
        """Show it: as a question, or as under way."""
        state = TransferState.OFFERED if ask else TransferState.RUNNING
        if not ask:
            self._answered.set()
        self._teller.begin(self.record, state, done_bytes=self._saving.position)

    async def accept(self) -> None:
        """Take it."""
        if self.record.state is not TransferState.OFFERED:
            return
        self._answered.set()
        self._teller.turn(self.record, TransferState.RUNNING)
        if self.is_lanai:
            await self._ask_for_rest()

    async def decline(self) -> None:
        """Refuse it."""
        if self.record.state is TransferState.OFFERED:
            await self._give_up(TransferState.DECLINED, refusal=Refusal.DECLINED)

    async def cancel(self) -> None:
        """Stop it; what has arrived is deleted."""
        if not self.record.state.is_over:
            await self._give_up(TransferState.CANCELLED, refusal=Refusal.CANCELLED)

    async def pause(self) -> None:
        """Hold it; the sender is told."""
        if self.record.state is not TransferState.RUNNING:
            return
        if not self.is_lanai:
            raise WorldError(Reason.DENIED, detail="the sender cannot pause")
        self._paused = self.record.paused_by_me = True
        self._teller.turn(self.record, TransferState.PAUSED)
        await self._let_go()
        await asyncio.to_thread(self._saving.pause)
        await self._call(PAUSE, encode_stop(Stop(self.offer.file_id)))

    async def resume(self) -> None:
        """Go on."""
        if self._paused:
            self._paused = self.record.paused_by_me = False
            self._teller.turn(self.record, TransferState.RUNNING)
            await self._ask_for_rest()

    async def retry(self) -> None:
        """Ask for the rest of what broke off."""
        self._still()
        self.record.resumable = False
        self._teller.turn(self.record, TransferState.RUNNING)
        await self._ask_for_rest()

    async def _ask_for_rest(self) -> None:
        resume = Resume(self.offer.file_id, self._saving.position, self._saving.prefix_sha256)
        try:
            await self._wire.call(self.identity, RESUME, encode_resume(resume))
        except (WorldError, NoSuchCallError) as error:
            log.info("the rest of a file is not to be had", error=type(error).__name__)
            if not self.record.state.is_over:
                # Who is only slow to answer has not gone.
                is_late = isinstance(error, WorldError) and error.reason is Reason.TIMEOUT
                await self._fail(Reason.TIMEOUT if is_late else Reason.PEER_GONE)

    async def _call(self, method: str, payload: str) -> None:
        # Who does not hear it learns it by the stream's silence.
        with contextlib.suppress(WorldError, NoSuchCallError):
            await self._wire.call(self.identity, method, payload)

    # -- what the sender says -----------------------------------------------------------------

    async def answer(self) -> OfferAnswer:
        """Answer an offer, the first one or one that is repeated after a break."""
        self._still()
        if self._paused:
            return OfferAnswer(Answer.PAUSED)
        if self.record.state is TransferState.OFFERED:
            return OfferAnswer(Answer.ASK)
        # Who offers again sends nothing any more; what came before is to be on the disk first.
        await self._let_go()
        if self.record.state is TransferState.DONE:
            return OfferAnswer(Answer.DONE)
        if self._is_ending:
            return OfferAnswer(Answer.DECLINE, refusal=Refusal.CANCELLED)
        self.record.resumable = False
        self._teller.turn(self.record, TransferState.RUNNING)
        return OfferAnswer(Answer.ACCEPT, self._saving.position, self._saving.prefix_sha256)

    def handle_pause(self) -> None:
        """The sender holds it."""
        if self.record.state is TransferState.RUNNING:
            self._still()
            self._teller.turn(self.record, TransferState.PAUSED)

    async def handle_cancel(self, refusal: Refusal) -> None:
        """The sender has stopped it."""
        if self.record.state.is_over:
            return
        if refusal is Refusal.FAILED:
            await self._fail(Reason.PEER_GONE, keep=False)
        else:
            await self._give_up(TransferState.CANCELLED)

    def handle_stream(self, stream: Incoming) -> None:
        """A stream has opened that carries it, or more of it."""
        before = self._reading
        if self._stream is not None:
            self._stream.close()
        self._stream = stream
        self._still()
        self._reading = spawn(self._read(stream, before), name="receive", owner=self._tasks)

    # -- reading ----------------------------------------------------------------------------

    async def _read(self, stream: Incoming, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        if self.record.state is TransferState.PAUSED and not self._paused:
            self._teller.turn(self.record, TransferState.RUNNING)
        try:
            await asyncio.to_thread(self._saving.start, stream.label.offset)
            await self._save_all(stream)
            if stream is self._stream:
                await self._finish(stream)
        except StreamBrokenError as broken:
            if stream is self._stream:
                await self._handle_broken(broken.reason)
        except (WorldError, ProtocolError, OSError) as error:
            stream.close()
            if stream is self._stream:
                await self._fail(reason_of(error, Reason.DENIED), tell=True)

    async def _save_all(self, stream: Incoming) -> None:
        waiting: list[bytes] = []
        waiting_bytes = 0
        async for chunk in stream.chunks:
            waiting.append(chunk)
            waiting_bytes += len(chunk)
            self._check_size(self._saving.position + waiting_bytes)
            if waiting_bytes < BLOCK_BYTES:
                continue
            await self._write(waiting)
            waiting, waiting_bytes = [], 0
            if self.is_lanai:
                await self._tell(done=False)
        await self._write(waiting)

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self._max_bytes:
            raise WorldError(Reason.TOO_LARGE)
        if not self._answered.is_set() and size_bytes > HELD_BYTES:
            # A stranger's program cannot be asked to wait, and we keep no more unasked.
            self.record.limit_bytes = 0
            raise WorldError(Reason.TOO_LARGE, detail="not accepted in time")

    async def _write(self, waiting: list[bytes]) -> None:
        if waiting:
            await asyncio.to_thread(self._saving.write, b"".join(waiting))
            self._teller.progress(self.record, self._saving.position)

    async def _tell(self, *, done: bool) -> None:
        progress = Progress(self.offer.file_id, self._saving.position, done=done)
        with contextlib.suppress(WorldError):
            await self._wire.tell(self.identity, encode_progress(progress))

    async def _finish(self, stream: Incoming) -> None:
        self._teller.progress(self.record, self._saving.position)
        if self.is_lanai and self._saving.position != self.offer.size_bytes:
            raise WorldError(Reason.DAMAGED, detail="another length")
        await self._answered.wait()
        if self._is_ending or self.record.state.is_over:
            return
        wanted = stream.attributes().get(SHA256_ATTRIBUTE, "")
        saved = await asyncio.to_thread(self._saving.finish, wanted)
        if saved is None:
            return
        self._stream = None
        self.record.path, self.record.sha256 = saved.path, saved.sha256
        self.record.file_name = saved.path.name
        self.record.size_bytes = self.record.done_bytes
        self._on_saved()
        self._teller.turn(self.record, TransferState.DONE)
        if self.is_lanai:
            await self._tell(done=True)

    async def _handle_broken(self, reason: str) -> None:
        self._stream = None
        if self._is_ending or self.record.state.is_over or self._paused:
            return
        if reason == CANCELLED:
            await self._give_up(TransferState.CANCELLED)
        elif not self.is_lanai or reason not in ("", PAUSED):
            await self._fail(Reason.PEER_GONE, keep=False)
        else:
            # The sender may be back in a moment, and will offer the rest again.
            self.record.is_waiting = reason != PAUSED
            self._teller.turn(self.record, TransferState.PAUSED)
            await asyncio.to_thread(self._saving.pause)
            if reason != PAUSED:
                self._wait_for_sender()

    def _wait_for_sender(self) -> None:
        def give_up() -> None:
            self._grace = None
            if self.record.state is TransferState.PAUSED and not self._paused:
                spawn(self._fail(Reason.PEER_GONE), name="give up", owner=self._tasks)

        self._still()
        self.record.is_waiting = True
        self._grace = asyncio.get_running_loop().call_later(GRACE_S, give_up)

    def handle_left(self) -> None:
        """The sender is gone, perhaps not for long."""
        if self.record.state is TransferState.OFFERED and not self.is_lanai:
            return  # what is held may still be whole
        if self.is_lanai and not self.record.state.is_over and self._stream is None:
            self._wait_for_sender()
            if self.record.state is TransferState.PAUSED:
                self._teller.again(self.record)
            else:
                self._teller.turn(self.record, TransferState.PAUSED)

    def _still(self) -> None:
        self.record.is_waiting = False
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None

    # -- ending -----------------------------------------------------------------------------

    async def _let_go(self) -> None:
        """Drop what still comes, and wait for what is being written."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        reading = self._reading
        if reading is not None and reading is not asyncio.current_task():
            await asyncio.wait([reading])

    async def _give_up(self, state: TransferState, *, refusal: Refusal | None = None) -> None:
        if self._is_ending:
            return
        self._is_ending = True
        if state is TransferState.CANCELLED:
            # A refusal is told to the sender, so it is ours.
            self.record.cancelled_by_me = refusal is not None
            self.record.cancelled_by = () if refusal is not None else (self.record.peer_name,)
        self._still()
        self._answered.set()
        await self._let_go()
        if self.record.state.is_over:
            return
        # Before anybody is told: who looks into the folder then finds nothing half.
        await asyncio.to_thread(self._saving.drop)
        self._teller.turn(self.record, state)
        if refusal is not None and self.is_lanai:
            await self._call(CANCEL, encode_stop(Stop(self.offer.file_id, refusal)))

    async def _fail(self, reason: Reason, *, keep: bool = True, tell: bool = False) -> None:
        self._still()
        self._answered.set()
        self._stream = None
        # What is damaged is so somewhere before its end: there is nothing to go on from.
        keep = keep and reason not in (Reason.TOO_LARGE, Reason.DAMAGED)
        kept = await asyncio.to_thread(self._stop_saving, keep)
        self.record.resumable = kept and self.is_lanai
        self._teller.turn(self.record, TransferState.FAILED, reason)
        if tell and self.is_lanai:
            refusal = _REFUSALS.get(reason, Refusal.FAILED)
            await self._call(CANCEL, encode_stop(Stop(self.offer.file_id, refusal)))

    def _stop_saving(self, keep: bool) -> bool:
        if keep and self.is_lanai and self._saving.position:
            self._saving.pause()
            return True
        self._saving.drop()
        return False

    async def close(self) -> None:
        """The meeting is over: keep what can be gone on with."""
        self._still()
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        kept = await asyncio.to_thread(self._saving.keep)
        if not self.record.state.is_over:
            self.record.resumable = False
            self._teller.turn(self.record, TransferState.FAILED, Reason.PEER_GONE)
        elif kept:
            log.info("a half-received file is kept")


def partial_of(offer: FileOffer, sender: str, room: str) -> PartialFile:
    """Describe a drop of which nothing is there yet."""
    return PartialFile(offer, sender, room)
