"""Files on their way, both directions: who is offered what, and where it stands.

Read `protocol/transfers.py` for what two Lanai apps say to each other, `outgoing_transfer.py` and
`incoming_transfer.py` for the two sides, `drops.py` and `saving.py` for the disk. Nothing is held
in memory but a few blocks; all reading, writing and hashing happens on worker threads.
"""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from app.engine.drops import gather
from app.engine.events import Event, TransferState
from app.engine.incoming_transfer import IncomingTransfer, partial_of
from app.engine.outgoing_transfer import OutgoingTransfer
from app.engine.safe_names import safe_file_name
from app.engine.saving import Saving, find_partials
from app.engine.transfer_lanes import Lanes
from app.engine.transfer_record import Record, Teller
from app.engine.transfer_wire import Incoming, TransferWire
from app.protocol.errors import ProtocolError
from app.protocol.transfers import (
    CANCEL,
    OFFER,
    PAUSE,
    RESUME,
    Answer,
    FileOffer,
    OfferAnswer,
    Refusal,
    encode_answer,
    parse_offer,
    parse_progress,
    parse_resume,
    parse_stop,
)
from app.runtime.errors import Reason, WorldError
from app.runtime.tasks import TaskOwner, spawn

log = structlog.get_logger(__name__)

FILE_TOPIC = "lanai.file"
CALLS = (OFFER, RESUME, PAUSE, CANCEL)
MAX_INCOMING = 64
_MAX_RECORDS = 1_000
_REASONS = {Refusal.TOO_LARGE: Reason.TOO_LARGE, Refusal.DISK_FULL: Reason.DISK_FULL}


@dataclass(frozen=True, slots=True)
class ReceivePolicy:
    """What this person lets in, and where to."""

    folder: Path
    ask: bool = False
    max_bytes: int = 5_000_000_000


class Transfers:
    """All transfers of one meeting; belongs to the engine thread."""

    def __init__(
        self,
        *,
        post: Callable[[Event], None],
        wire: TransferWire,
        policy: Callable[[], ReceivePolicy],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wire = wire
        self._policy = policy
        self._teller = Teller(post, now_s)
        self._owner = TaskOwner("transfers")
        self._lanes = Lanes()
        self._outgoing: dict[str, OutgoingTransfer] = {}
        self._incoming: dict[str, IncomingTransfer] = {}
        self._offering = asyncio.Lock()
        self._is_closed = False
        self.files_saved = 0

    # -- what a person asks -----------------------------------------------------------------

    async def send(self, path: Path, *, to: tuple[str, ...], peer_name: str) -> str:
        """Start to send a file or a folder; FILE_GONE, TOO_LARGE."""
        drop = await asyncio.to_thread(gather, path)
        # The same content on its way twice is two drops to whoever gets both.
        known = {each.drop.file_id for each in self._outgoing.values()}
        if drop.file_id in known and any(
            each.drop.file_id == drop.file_id and not each.record.state.is_over
            for each in self._outgoing.values()
        ):
            drop = replace(drop, file_id=f"{drop.file_id[:23]}-{secrets.token_hex(4)}")
        record = Record(
            id=str(uuid.uuid4()),
            file_name=drop.name,
            size_bytes=drop.size_bytes,
            outgoing=True,
            peer_name=peer_name,
            peer_identity=to[0] if len(to) == 1 else "",
            to=to,
            path=path,
            is_folder=drop.is_folder,
            files=len(drop.files),
        )
        transfer = OutgoingTransfer(
            record, drop, self._wire, self._teller, self._owner, self._lanes
        )
        self._outgoing[record.id] = transfer
        self._lanes.ways.append(transfer)
        transfer.start()
        return record.id

    async def cancel(self, transfer_id: str) -> None:
        """Stop a transfer; one that has ended, or is unknown, is left alone."""
        if (outgoing := self._outgoing.get(transfer_id)) is not None:
            outgoing.cancel()
        elif (incoming := self._incoming.get(transfer_id)) is not None:
            await incoming.cancel()

    async def pause(self, transfer_id: str) -> None:
        """Hold a transfer; DENIED when the other side cannot."""
        if (outgoing := self._outgoing.get(transfer_id)) is not None:
            outgoing.pause()
        elif (incoming := self._incoming.get(transfer_id)) is not None:
            await incoming.pause()

    async def resume(self, transfer_id: str) -> None:
        """Go on with a transfer that was paused here."""
        if (outgoing := self._outgoing.get(transfer_id)) is not None:
            outgoing.resume()
        elif (incoming := self._incoming.get(transfer_id)) is not None:
            await incoming.resume()

    async def accept(self, transfer_id: str) -> None:
        """Take what was offered."""
        if (incoming := self._incoming.get(transfer_id)) is not None:
            await incoming.accept()

    async def decline(self, transfer_id: str) -> None:
        """Refuse what was offered."""
        if (incoming := self._incoming.get(transfer_id)) is not None:
            await incoming.decline()

    async def retry(self, transfer_id: str) -> None:
        """Try again what has failed or was stopped; FILE_GONE."""
        outgoing = self._outgoing.get(transfer_id)
        if outgoing is not None:
            record = outgoing.record
            is_whole = record.state is TransferState.DONE and record.received == record.receivers
            if record.state.is_over and not is_whole:
                outgoing.drop = await asyncio.to_thread(gather, outgoing.drop.path)
                record.size_bytes = outgoing.drop.size_bytes
                outgoing.start()
            return
        incoming = self._incoming.get(transfer_id)
        if incoming is not None and incoming.record.resumable:
            await incoming.retry()

    # -- what others ask ----------------------------------------------------------------------

    async def handle_call(self, identity: str, method: str, payload: str) -> str:
        """Answer a call of another Lanai app; ProtocolError for nonsense."""
        if method == OFFER:
            return encode_answer(await self._handle_offer(identity, parse_offer(payload)))
        if method == RESUME:
            resume = parse_resume(payload)
            found = self._find_outgoing(identity, resume.file_id) or self._find_drop(resume.file_id)
            if found is None or not found.handle_resume(identity, resume):
                raise ProtocolError("transfer: no such file")
            return "{}"
        stop = parse_stop(payload)
        outgoing = self._find_outgoing(identity, stop.file_id)
        incoming = self._find_incoming(identity, stop.file_id)
        if method == PAUSE and outgoing is not None:
            outgoing.handle_pause(identity)
        elif method == PAUSE and incoming is not None:
            incoming.handle_pause()
        elif method == CANCEL and outgoing is not None:
            outgoing.handle_cancel(identity, stop.refusal)
        elif method == CANCEL and incoming is not None:
            await incoming.handle_cancel(stop.refusal)
        return "{}"

    def handle_packet(self, identity: str, data: bytes) -> None:
        """Take a receiver's progress; ProtocolError for nonsense."""
        progress = parse_progress(data)
        outgoing = self._find_outgoing(identity, progress.file_id)
        if outgoing is not None:
            outgoing.handle_progress(identity, progress.got_bytes, done=progress.done)

    def _find_outgoing(self, identity: str, file_id: str) -> OutgoingTransfer | None:
        """The newest drop of this id to this person."""
        for each in reversed(self._outgoing.values()):
            if each.drop.file_id == file_id and each.has(identity):
                return each
        return None

    def _find_drop(self, file_id: str) -> OutgoingTransfer | None:
        """The newest drop of this id to anybody."""
        drops = reversed(self._outgoing.values())
        return next((each for each in drops if each.drop.file_id == file_id), None)

    def _find_incoming(self, identity: str, file_id: str) -> IncomingTransfer | None:
        for each in reversed(self._incoming.values()):
            if each.is_lanai and (each.identity, each.offer.file_id) == (identity, file_id):
                return each
        return None

    def _find_left(self, identity: str, offer: FileOffer) -> IncomingTransfer | None:
        """What its sender began and, having left, may go on with under another identity."""
        name = self._wire.name_of(identity)
        for each in reversed(self._incoming.values()):
            if each.is_left_by_namesake(offer, name):
                each.follow(identity)
                return each
        return None

    # -- receiving --------------------------------------------------------------------------

    async def _handle_offer(self, identity: str, offer: FileOffer) -> OfferAnswer:
        # One at a time: two offers must not both find the same partial file free.
        async with self._offering:
            return await self._take_offer(identity, offer)

    async def _take_offer(self, identity: str, offer: FileOffer) -> OfferAnswer:
        known = self._find_incoming(identity, offer.file_id) or self._find_left(identity, offer)
        if known is not None and known.offer == offer and known.can_go_on:
            return await known.answer()
        under_way = [each for each in self._incoming.values() if not each.record.state.is_over]
        if self._is_closed or len(under_way) >= MAX_INCOMING or self._is_taken(offer.file_id):
            return OfferAnswer(Answer.DECLINE, refusal=Refusal.BUSY)
        policy = self._policy()
        partial = partial_of(offer, identity, self._wire.room)
        # Thousands of paths are made safe there: no work for the loop that plays sound.
        saving = await asyncio.to_thread(Saving, policy.folder, offer, partial)
        refusal = await self._prepare(saving, offer.size_bytes, policy)
        if refusal is None and offer.size_bytes > policy.max_bytes:
            refusal = Refusal.TOO_LARGE
        record = self._record_of(identity, offer, policy)
        if refusal is not None:
            await asyncio.to_thread(saving.keep)
            self._teller.begin(record, TransferState.RUNNING)
            self._teller.turn(record, TransferState.FAILED, _REASONS.get(refusal, Reason.DENIED))
            return OfferAnswer(Answer.DECLINE, refusal=refusal)
        transfer = self._take(record, offer, saving, policy, is_lanai=True)
        # What this person has begun to take is not asked about again.
        transfer.begin(ask=policy.ask and saving.position == 0)
        return await transfer.answer()

    async def _prepare(
        self, saving: Saving, size_bytes: int, policy: ReceivePolicy
    ) -> Refusal | None:
        if size_bytes > policy.max_bytes:
            return Refusal.TOO_LARGE
        try:
            await asyncio.to_thread(saving.prepare)
        except WorldError as error:
            return Refusal.DISK_FULL if error.reason is Reason.DISK_FULL else Refusal.FAILED
        except OSError as error:
            log.warning("the downloads folder cannot be written", error=type(error).__name__)
            return Refusal.FAILED
        return None

    def _is_taken(self, file_id: str) -> bool:
        """Whether somebody else is sending what claims to be the same."""
        return any(
            each.offer.file_id == file_id and not each.record.state.is_over
            for each in self._incoming.values()
        )

    def _record_of(self, identity: str, offer: FileOffer, policy: ReceivePolicy) -> Record:
        return Record(
            id=str(uuid.uuid4()),
            file_name=safe_file_name(offer.name),
            size_bytes=offer.size_bytes,
            outgoing=False,
            peer_name=self._wire.name_of(identity),
            peer_identity=identity,
            is_folder=bool(offer.files),
            files=len(offer.files) or 1,
            limit_bytes=policy.max_bytes,
        )

    def _take(
        self,
        record: Record,
        offer: FileOffer,
        saving: Saving,
        policy: ReceivePolicy,
        *,
        is_lanai: bool,
    ) -> IncomingTransfer:
        transfer = IncomingTransfer(
            record,
            offer,
            saving,
            self._wire,
            self._teller,
            self._owner,
            is_lanai=is_lanai,
            max_bytes=policy.max_bytes,
            on_saved=self._count_saved,
        )
        self._incoming[record.id] = transfer
        if len(self._incoming) > _MAX_RECORDS:
            # At most `MAX_INCOMING` are under way: there is always one that is over.
            over = (i for i, each in self._incoming.items() if each.record.state.is_over)
            del self._incoming[next(over)]
        return transfer

    def _count_saved(self) -> None:
        self.files_saved += 1

    def receive(self, stream: Incoming) -> None:
        """Take a stream that somebody opened, offered before or not."""
        if self._is_closed:
            stream.close()
            return
        if stream.label.file_id:
            known = self._find_incoming(stream.identity, stream.label.file_id)
            if known is not None and known.record.state in (
                TransferState.RUNNING,
                TransferState.PAUSED,
            ):
                known.handle_stream(stream)
                return
            if known is not None:
                stream.close()
                return
        spawn(self._receive_unasked(stream), name="receive", owner=self._owner)

    async def _receive_unasked(self, stream: Incoming) -> None:
        """A plain stream: whoever sends it neither asks nor waits."""
        policy = self._policy()
        under_way = sum(not each.record.state.is_over for each in self._incoming.values())
        size_bytes = stream.size_bytes or 0
        offer = FileOffer(secrets.token_hex(16), stream.name, size_bytes)
        record = self._record_of(stream.identity, offer, policy)
        saving = Saving(policy.folder, offer)
        refusal = Refusal.BUSY
        if under_way < MAX_INCOMING and stream.label.offset == 0:
            prepared = await self._prepare(saving, size_bytes, policy)
            if prepared is None:
                transfer = self._take(record, offer, saving, policy, is_lanai=False)
                transfer.begin(ask=policy.ask)
                transfer.handle_stream(stream)
                return
            refusal = prepared
        stream.close()
        await asyncio.to_thread(saving.drop)
        self._teller.begin(record, TransferState.RUNNING)
        self._teller.turn(record, TransferState.FAILED, _REASONS.get(refusal, Reason.DENIED))

    # -- people and the connection ------------------------------------------------------------

    def handle_joined_room(self) -> None:
        """Go on with what an earlier run of the app left half, if its sender is here."""
        spawn(self._revive(), name="revive", owner=self._owner)

    async def _revive(self) -> None:
        policy = self._policy()
        partials = await asyncio.to_thread(find_partials, policy.folder)
        for partial in partials:
            if partial.room != self._wire.room or partial.sender not in self._wire.others():
                continue
            async with self._offering:
                if self._is_taken(partial.offer.file_id):
                    continue
                saving = await asyncio.to_thread(Saving, policy.folder, partial.offer, partial)
                refusal = await self._prepare(saving, partial.offer.size_bytes, policy)
                if refusal is not None or saving.position == 0:
                    await asyncio.to_thread(saving.keep)
                    continue
                record = self._record_of(partial.sender, partial.offer, policy)
                transfer = self._take(record, partial.offer, saving, policy, is_lanai=True)
                transfer.begin(ask=False)
            await transfer.retry()

    def handle_person_joined(self, identity: str) -> None:
        """Somebody has come, perhaps back."""
        for each in self._outgoing.values():
            each.handle_joined(identity)

    def handle_person_left(self, identity: str) -> None:
        """Somebody has left."""
        for outgoing in self._outgoing.values():
            outgoing.handle_left(identity)
        for incoming in self._incoming.values():
            if incoming.identity == identity:
                incoming.handle_left()

    def handle_rejoined(self) -> None:
        """We had to join anew: streams do not outlive that."""
        for each in self._outgoing.values():
            each.handle_rejoined()

    def stats(self) -> dict[str, object]:
        """Count the transfers by state."""
        records = [each.record for each in self._outgoing.values()]
        records += [each.record for each in self._incoming.values()]
        states = [record.state for record in records]
        return {str(state): states.count(state) for state in TransferState}

    async def aclose(self) -> None:
        """End what is running; what can be gone on with stays on the disk."""
        self._is_closed = True
        await self._owner.close()
        for outgoing in self._outgoing.values():
            outgoing.close()
        for incoming in self._incoming.values():
            await incoming.close()
