"""A drop on its way to one person or to everybody.

Each receiver is asked first. Those that answer alike share one stream: the server fans it out.
A receiver that pauses, lags or comes later gets the rest in a stream of its own, from the byte it
names. A program that is no Lanai app cannot be asked and gets plain files.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

import structlog

from app.engine.drops import Drop, DropReader
from app.engine.events import TransferState
from app.engine.transfer_lanes import BLOCK_BYTES, Lanes
from app.engine.transfer_receiver import MOVING, OUT, OVER, Receiver, Stage, outcomes
from app.engine.transfer_record import Record, Teller, reason_of
from app.engine.transfer_wire import NoSuchCallError, Sink, StreamHead, TransferWire
from app.protocol.errors import ProtocolError
from app.protocol.transfers import (
    CANCEL,
    CANCELLED,
    OFFER,
    PAUSE,
    PAUSED,
    SHA256_ATTRIBUTE,
    Answer,
    OfferAnswer,
    Refusal,
    Resume,
    Stop,
    StreamLabel,
    encode_offer,
    encode_stop,
    parse_answer,
)
from app.runtime.errors import Reason, WorldError
from app.runtime.tasks import TaskOwner, spawn

log = structlog.get_logger(__name__)

GRACE_S = 30.0
# A receiver that reads nothing for so long holds up nobody else any more.
STALL_S = 120.0
TOGETHER_S = 0.4
# A server keeps the place of a killed program for about 20 s.
BUSY_S = 5.0
BUSY_TRIES = 6


class OutgoingTransfer:
    """One drop and its receivers. `lanes` bounds what is on its way."""

    def __init__(
        self,
        record: Record,
        drop: Drop,
        wire: TransferWire,
        teller: Teller,
        tasks: TaskOwner,
        lanes: Lanes,
    ) -> None:
        self.record = record
        self.drop = drop
        self._wire = wire
        self._teller = teller
        self._tasks = tasks
        self._lanes = lanes
        self._receivers: dict[str, Receiver] = {}
        self._paused = False
        self._cancelled = False
        self._news = asyncio.Event()
        self._together: asyncio.TimerHandle | None = None
        self._graces: dict[str, asyncio.TimerHandle] = {}
        self._furthest_bytes = 0

    # -- what a person asks -----------------------------------------------------------------

    def start(self) -> None:
        """Offer it to everybody it is meant for, those anew that have not got it."""
        self._paused = self._cancelled = False
        self._furthest_bytes = 0
        wanted = self.record.to or self._wire.others()
        present = set(self._wire.others())
        for identity in wanted:
            known = self._receivers.get(identity)
            if known is None or known.stage is not Stage.DONE:
                name = known.name if known is not None else self._wire.name_of(identity)
                receiver = self._receivers[identity] = Receiver(identity, name)
                if identity not in present:
                    receiver.fail(Reason.PEER_GONE)
        self.record.receivers = len(self._receivers)
        self._teller.begin(self.record, TransferState.OFFERED, done_bytes=self._done_bytes())
        self._offer_to(each for each in self._receivers.values() if each.stage is Stage.OFFERING)
        self._step()

    def pause(self) -> None:
        """Hold everything here; the receivers are told."""
        if self.record.state.is_over or self._paused:
            return
        if not self._can_be_held():
            raise WorldError(Reason.DENIED, detail="a receiver cannot pause")
        self._paused = True
        for each in self._receivers.values():
            if each.stage in (Stage.READY, Stage.SENDING):
                self._hold(each)
        self._step()

    def _can_be_held(self) -> bool:
        return not any(each.is_plain and each.stage in MOVING for each in self._receivers.values())

    def _hold(self, receiver: Receiver) -> None:
        receiver.stage, receiver.leg = Stage.PAUSED, None
        self._call_later(receiver, PAUSE, encode_stop(Stop(self.drop.file_id)))

    def resume(self) -> None:
        """Go on; the receivers say where."""
        if self._paused:
            self._paused = False
            self._offer_again(Stage.PAUSED)

    def cancel(self) -> None:
        """Stop for everybody."""
        if self.record.state.is_over:
            return
        self._cancelled = self.record.cancelled_by_me = True
        stop = encode_stop(Stop(self.drop.file_id))
        for each in self._receivers.values():
            if each.stage not in OVER:
                each.stage, each.leg = Stage.CANCELLED, None
                if not each.is_plain:
                    self._call_later(each, CANCEL, stop)
        self._step()

    # -- what receivers say -----------------------------------------------------------------

    def has(self, identity: str) -> bool:
        """Whether this person takes part."""
        return identity in self._receivers

    def handle_resume(self, identity: str, resume: Resume) -> bool:
        """Somebody wants the rest; False when it is not to be had now."""
        if self._cancelled:
            return False
        receiver = self._receivers.get(identity) or self._replace_lost(identity)
        if receiver.stage is Stage.DONE:
            return False
        self._still(identity)
        receiver.is_plain = False
        self._begin(receiver, resume.offset, resume.prefix_sha256)
        if self._paused:
            self._hold(receiver)
        self._step()
        return True

    def _replace_lost(self, identity: str) -> Receiver:
        """Take a new identity for the one who has left: an app that was started again has one.

        Only who was offered the drop knows its id.
        """
        for lost in self._receivers.values():
            if lost.stage in (Stage.LOST, Stage.FAILED):
                self._still(lost.identity)
                del self._receivers[lost.identity]
                break
        receiver = Receiver(identity, self._wire.name_of(identity))
        self._receivers[identity] = receiver
        self.record.receivers = len(self._receivers)
        return receiver

    def handle_pause(self, identity: str) -> None:
        """Somebody wants no more for now."""
        receiver = self._receivers[identity]
        if receiver.stage not in OVER:
            receiver.stage, receiver.leg = Stage.PAUSED, None
            self._step()

    def handle_cancel(self, identity: str, refusal: Refusal) -> None:
        """Somebody wants no more at all."""
        receiver = self._receivers[identity]
        if receiver.stage is not Stage.DONE:
            self._still(identity)
            self._end_by(receiver, refusal)
            self._step()

    def _end_by(self, receiver: Receiver, refusal: Refusal) -> None:
        was_over = receiver.stage in OVER
        receiver.refuse(refusal)
        if receiver.stage is Stage.CANCELLED and not was_over:
            self.record.cancelled_by = (*self.record.cancelled_by, receiver.name)

    def handle_progress(self, identity: str, got_bytes: int, *, done: bool) -> None:
        """Somebody has that much on disk."""
        receiver = self._receivers[identity]
        if receiver.stage not in (Stage.SENDING, Stage.CHECKING):
            return
        receiver.got_bytes = min(max(receiver.got_bytes, got_bytes), self.drop.size_bytes)
        if done and receiver.stage is Stage.CHECKING:
            receiver.stage = Stage.DONE
            receiver.got_bytes = self.drop.size_bytes
            self._step()
        self._show_progress()
        self._lanes.tell()

    def handle_left(self, identity: str) -> None:
        """Somebody is gone, perhaps not for long."""
        receiver = self._receivers.get(identity)
        if receiver is None or receiver.stage in OVER:
            return
        if receiver.is_plain:
            receiver.fail(Reason.PEER_GONE)
        else:
            self._lose(receiver)
        self._step()

    def handle_joined(self, identity: str) -> None:
        """Somebody is back: ask how far it got."""
        receiver = self._receivers.get(identity)
        if receiver is not None and receiver.stage is Stage.LOST:
            self._still(identity)
            receiver.stage = Stage.OFFERING
            self._offer_to([receiver])

    def handle_rejoined(self) -> None:
        """We had to join anew: no stream of ours goes on."""
        for receiver in self._receivers.values():
            if receiver.stage in OVER:
                continue
            if receiver.is_plain:
                receiver.fail(Reason.PEER_GONE)
            else:
                self._lose(receiver)
        self._step()
        for identity in self._wire.others():
            self.handle_joined(identity)

    def _lose(self, receiver: Receiver) -> None:
        receiver.stage, receiver.leg = Stage.LOST, None

        def give_up() -> None:
            self._graces.pop(receiver.identity, None)
            if receiver.stage is Stage.LOST:
                receiver.fail(Reason.PEER_GONE)
                self._step()

        self._still(receiver.identity)
        loop = asyncio.get_running_loop()
        self._graces[receiver.identity] = loop.call_later(GRACE_S, give_up)

    def _still(self, identity: str) -> None:
        grace = self._graces.pop(identity, None)
        if grace is not None:
            grace.cancel()

    def close(self) -> None:
        """The meeting is over: whatever is not whole has failed."""
        for identity in list(self._graces):
            self._still(identity)
        if self._together is not None:
            self._together.cancel()
        if not self.record.state.is_over:
            for receiver in self._receivers.values():
                if receiver.stage not in OVER:
                    receiver.fail(Reason.PEER_GONE)
            self._show()

    # -- offering ---------------------------------------------------------------------------

    def _offer_again(self, stage: Stage) -> None:
        receivers = [each for each in self._receivers.values() if each.stage is stage]
        for each in receivers:
            each.stage = Stage.OFFERING
        self._offer_to(receivers)
        self._step()

    def _offer_to(self, receivers: Iterable[Receiver]) -> None:
        for receiver in list(receivers):
            spawn(self._offer(receiver), name="offer", owner=self._tasks)

    async def _offer(self, receiver: Receiver) -> None:
        offer = receiver.offer = object()
        payload = encode_offer(self.drop.offer())
        answer: OfferAnswer | None = None
        failure: Reason | None = None
        try:
            answer = parse_answer(await self._wire.call(receiver.identity, OFFER, payload))
        except NoSuchCallError:
            pass
        except (WorldError, ProtocolError) as error:
            failure = reason_of(error, Reason.PEER_GONE)
        if self._receivers.get(receiver.identity) is not receiver:
            return
        if receiver.stage is Stage.OFFERING and receiver.offer is offer:
            # Not that of an offer before a break: the one after it counts.
            if failure is not None:
                receiver.fail(failure)
            else:
                self._take_answer(receiver, answer)
            self._step()
        elif (
            receiver.stage in (Stage.READY, Stage.SENDING)
            and answer is not None
            and answer.answer is Answer.ACCEPT
        ):
            # It has begun otherwise. To answer us it let go of what we send: begin there again.
            self._take_answer(receiver, answer)
            self._step()

    def _take_answer(self, receiver: Receiver, answer: OfferAnswer | None) -> None:
        if answer is None:
            receiver.is_plain = True
            self._begin(receiver, 0, "")
            return
        match answer.answer:
            case Answer.ACCEPT:
                self._begin(receiver, answer.offset, answer.prefix_sha256)
            case Answer.ASK:
                receiver.stage = Stage.ASKED
            case Answer.PAUSED:
                receiver.stage = Stage.PAUSED
            case Answer.DONE:
                receiver.stage, receiver.got_bytes = Stage.DONE, self.drop.size_bytes
            case Answer.DECLINE if answer.refusal is Refusal.BUSY and receiver.tries < BUSY_TRIES:
                # It may be busy with us: who we were before our app was started again.
                receiver.tries += 1
                self._lose(receiver)
                loop = asyncio.get_running_loop()
                loop.call_later(BUSY_S, self.handle_joined, receiver.identity)
            case Answer.DECLINE:
                self._end_by(receiver, answer.refusal or Refusal.DECLINED)
        if self._paused and receiver.stage is Stage.READY:
            # It was asked how far it got, and would wait for what does not come.
            self._hold(receiver)

    def _begin(self, receiver: Receiver, offset: int, prefix_sha256: str) -> None:
        if offset > self.drop.size_bytes or (offset and not prefix_sha256):
            offset, prefix_sha256 = 0, ""
        receiver.stage, receiver.leg, receiver.error = Stage.READY, None, None
        receiver.position = receiver.got_bytes = receiver.sent_bytes = offset
        receiver.prefix_sha256 = prefix_sha256

    def _call_later(self, receiver: Receiver, method: str, payload: str) -> None:
        async def call() -> None:
            # Who does not hear it learns it from the stream, or from its own time-out.
            with contextlib.suppress(WorldError, NoSuchCallError):
                await self._wire.call(receiver.identity, method, payload)

        spawn(call(), name="tell", owner=self._tasks)

    # -- sending ----------------------------------------------------------------------------

    def _step(self) -> None:
        """Start what can start, and tell where it stands."""
        self._lanes.tell()
        stages = [each.stage for each in self._receivers.values()]
        if Stage.READY in stages:
            # Those who answer at about the same time share a stream.
            if Stage.OFFERING in stages and self._together is None:
                loop = asyncio.get_running_loop()
                self._together = loop.call_later(TOGETHER_S, self._start_legs)
            elif Stage.OFFERING not in stages:
                self._start_legs()
        self._show()

    def _start_legs(self) -> None:
        if self._together is not None:
            self._together.cancel()
            self._together = None
        groups: dict[tuple[bool, int, str], list[Receiver]] = {}
        for each in self._receivers.values():
            if each.stage is Stage.READY:
                key = (each.is_plain, each.position, each.prefix_sha256)
                groups.setdefault(key, []).append(each)
        for (is_plain, _, _), members in groups.items():
            leg = object()
            for each in members:
                each.stage, each.leg = Stage.SENDING, leg
            work = self._send_plain if is_plain else self._send_rest
            spawn(self._run_leg(leg, members, work), name="send", owner=self._tasks)
        self._show()

    async def _run_leg(
        self, leg: object, members: list[Receiver], work: Callable[[_Leg], Awaitable[None]]
    ) -> None:
        async with self._lanes.places:
            run = _Leg(leg, members)
            try:
                await work(run)
            except (WorldError, ProtocolError, OSError) as error:
                reason = reason_of(error, Reason.FILE_GONE)
                for each in run.active():
                    each.fail(reason)
                    if not each.is_plain:
                        stop = Stop(self.drop.file_id, Refusal.FAILED)
                        self._call_later(each, CANCEL, encode_stop(stop))
        self._step()

    async def _send_rest(self, leg: _Leg) -> None:
        """One stream of everything from the byte that its receivers named."""
        offset, prefix = leg.members[0].position, leg.members[0].prefix_sha256
        with DropReader(self.drop.files) as reader:
            found = await asyncio.to_thread(reader.skip, offset)
            if offset and found != prefix:
                # The file is another by now: what they have of it is of no use.
                self._furthest_bytes = 0
                for each in leg.active():
                    self._begin(each, 0, "")
                return
            label = StreamLabel(self.drop.file_id, offset)
            head = StreamHead(self.drop.name, self.drop.size_bytes - offset, leg.to(), label)
            if not head.to:
                return
            stay = self._wire.stay()
            sink = await self._wire.open(head)
            position = offset
            while position < self.drop.size_bytes and await self._has_room(leg):
                block = await asyncio.to_thread(reader.read, BLOCK_BYTES)
                if to := leg.to():
                    position += len(block)
                    for each in leg.active():
                        each.sent_bytes = position
                    await sink.write(block, to)
            await self._close(leg, sink, stay, position, reader.sha256)

    async def _close(self, leg: _Leg, sink: Sink, stay: str, position: int, sha256: str) -> None:
        if position < self.drop.size_bytes:
            reason = PAUSED if self._paused else CANCELLED
            # Whoever paused or cancelled by itself has let go of the stream already.
            ended = [each for each in leg.members if each.leg is None or each.leg is leg.leg]
            await sink.aclose([each.identity for each in ended], reason=reason)
            return
        await sink.aclose(leg.to(), attributes={SHA256_ATTRIBUTE: sha256})
        self.record.sha256 = sha256
        for each in leg.active():
            if stay != self._wire.stay():
                self._lose(each)
            else:
                each.stage = Stage.CHECKING

    async def _has_room(self, leg: _Leg) -> bool:
        """Wait until the slowest receiver is not too far behind; False when none is left."""
        while leg.active():
            try:
                async with asyncio.timeout(STALL_S):
                    while self._behind(leg):
                        self._news.clear()
                        await self._news.wait()
            except TimeoutError:
                for each in self._behind(leg):
                    self._lose(each)
                self._step()
            else:
                break
        return bool(leg.active())

    def _behind(self, leg: _Leg) -> list[Receiver]:
        has_room = self._lanes.has_room
        return [each for each in leg.active() if not has_room(self, each.identity)]

    async def _send_plain(self, leg: _Leg) -> None:
        """A stream for each file, as any program understands it."""
        stay = self._wire.stay()
        done = 0
        for file in self.drop.files:
            with DropReader((file,)) as reader:
                if not (to := leg.to()):
                    return
                name = file.path.name if self.drop.is_folder else self.drop.name
                sink = await self._wire.open(StreamHead(name, file.size_bytes, to))
                reason = ""
                try:
                    while block := await asyncio.to_thread(reader.read, BLOCK_BYTES):
                        if not leg.active():
                            reason = CANCELLED
                            break
                        await sink.write(block, to)
                        done += len(block)
                        for each in leg.active():
                            each.got_bytes = done
                        self._show_progress()
                except (WorldError, OSError):
                    with contextlib.suppress(WorldError):
                        await sink.aclose(to, reason="error")
                    raise
                await sink.aclose(
                    to,
                    reason=reason,
                    attributes=None if reason else {SHA256_ATTRIBUTE: reader.sha256},
                )
                self.record.sha256 = reader.sha256
        for each in leg.active():
            if stay != self._wire.stay():
                each.fail(Reason.PEER_GONE)
            else:
                each.stage, each.got_bytes = Stage.DONE, self.drop.size_bytes

    def is_writing_to(self, identity: str) -> bool:
        """See `Way`."""
        receiver = self._receivers.get(identity)
        return receiver is not None and receiver.stage is Stage.SENDING

    def on_the_way(self, identity: str) -> int:
        """See `Way`; what a plain receiver has is not known."""
        receiver = self._receivers.get(identity)
        if receiver is None or receiver.stage not in (Stage.SENDING, Stage.CHECKING):
            return 0
        return 0 if receiver.is_plain else receiver.sent_bytes - receiver.got_bytes

    def wake(self) -> None:
        """See `Way`."""
        self._news.set()

    # -- telling ----------------------------------------------------------------------------

    def _done_bytes(self) -> int:
        """How far it is for those who take part or have it, on average.

        Whoever was ahead and leaves would take the figure back with them: it waits instead until
        the others are there too.
        """
        parts = [each.got_bytes for each in self._receivers.values() if each.stage not in OUT]
        average = sum(parts) // len(parts) if parts else 0
        self._furthest_bytes = max(self._furthest_bytes, average)
        return self._furthest_bytes

    def _show_progress(self) -> None:
        self._teller.progress(self.record, self._done_bytes())

    def _show(self) -> None:
        stages = [each.stage for each in self._receivers.values()]
        record = self.record
        record.received = stages.count(Stage.DONE)
        record.outcomes = outcomes(self._receivers.values())
        record.pausable = self._can_be_held()
        record.paused_by_me = self._paused
        record.is_waiting = Stage.LOST in stages and Stage.PAUSED not in stages
        record.resumable = Stage.FAILED in stages and any(
            each.got_bytes and not each.is_plain for each in self._receivers.values()
        )
        record.done_bytes = self._done_bytes()
        state, error = self._state(stages)
        if state is TransferState.DONE:
            record.done_bytes = self.drop.size_bytes
        self._teller.turn(record, state, error)

    def _state(self, stages: list[Stage]) -> tuple[TransferState, Reason | None]:
        if self._cancelled:
            return TransferState.CANCELLED, None
        if self._paused and any(stage not in OVER for stage in stages):
            return TransferState.PAUSED, None
        if any(stage in MOVING for stage in stages):
            return TransferState.RUNNING, None
        if Stage.OFFERING in stages or Stage.ASKED in stages:
            return TransferState.OFFERED, None
        if Stage.PAUSED in stages or Stage.LOST in stages:
            return TransferState.PAUSED, None
        failed = next((e for e in self._receivers.values() if e.stage is Stage.FAILED), None)
        if failed is not None and (len(stages) == 1 or Stage.DONE not in stages):
            return TransferState.FAILED, failed.error or Reason.PEER_GONE
        if Stage.DONE in stages:
            return TransferState.DONE, None
        if Stage.DECLINED in stages:
            return TransferState.DECLINED, None
        if Stage.CANCELLED in stages:
            return TransferState.CANCELLED, None
        return TransferState.FAILED, Reason.PEER_GONE


@dataclass(slots=True)
class _Leg:
    """One stream and those who still get it."""

    leg: object
    members: list[Receiver]

    def active(self) -> list[Receiver]:
        return [each for each in self.members if each.leg is self.leg]

    def to(self) -> tuple[str, ...]:
        return tuple(each.identity for each in self.active())
