"""Video decoders on a few shared threads.

Each decoder sticks to one thread, so a stream's frames stay in order without locks around the
codec. What a decoder cannot use it skips until the next keyframe, and asks for that keyframe.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import av
import structlog
from av.codec.context import Flags

from app.media.frames import Picture
from app.media.play.video_slot import VideoSlot
from app.media.threads import MediaThread
from app.protocol.rtp.encoded import EncodedVideoFrame

log = structlog.get_logger(__name__)

DECODERS = {"VP8": "vp8", "H264": "h264"}
QUEUE_FRAMES = 30
KEYFRAME_REQUEST_INTERVAL_S = 0.5

PictureSink = Callable[[Picture, int], None]


@dataclass(frozen=True, slots=True)
class VideoDecodeStats:
    """Counts since the decoder was opened."""

    received: int
    decoded: int
    errors: int
    skipped: int
    keyframe_requests: int
    width: int
    height: int


class DecodePool:
    """Decoder threads: at most `threads`, started with the first decoder, ended with the last."""

    def __init__(self, threads: int | None = None) -> None:
        self._limit = threads or min(4, os.cpu_count() or 1)
        self._lock = threading.Lock()
        self._workers: list[_Worker] = []

    def assign(self) -> _Worker:
        """Give a new decoder its thread."""
        with self._lock:
            if len(self._workers) < self._limit and all(w.decoders for w in self._workers):
                worker = _Worker(f"decode-{len(self._workers)}")
                self._workers.append(worker)
                worker.thread.start()
            else:
                worker = min(self._workers, key=lambda w: w.decoders)
            worker.decoders += 1
            return worker

    def release(self, worker: _Worker) -> None:
        """Take back a closed decoder's thread."""
        with self._lock:
            worker.decoders -= 1
            if worker.decoders:
                return
            self._workers.remove(worker)
        worker.thread.stop(worker.wake)


class _Worker:
    """One thread that serves its decoders in turn, one frame each."""

    def __init__(self, name: str) -> None:
        self.decoders = 0
        self._ready: deque[VideoDecoder] = deque()
        self._condition = threading.Condition()
        self.thread = MediaThread(name, self._run)

    def schedule(self, decoder: VideoDecoder) -> None:
        with self._condition:
            self._ready.append(decoder)
            self._condition.notify()

    def wake(self) -> None:
        with self._condition:
            self._condition.notify()

    def _run(self, thread: MediaThread) -> None:
        while not thread.stopping.is_set():
            with self._condition:
                while not self._ready:
                    if thread.stopping.is_set():
                        return
                    self._condition.wait()
                decoder = self._ready.popleft()
            if decoder.run_one():
                self.schedule(decoder)


_shared_pool = DecodePool()


class VideoDecoder:
    """Decodes one stream and shows its pictures to sinks and slots.

    `submit` is called from any one thread, normally the engine's. `on_error` asks the sender
    for a keyframe; it is called on the decoder's thread or inside `submit`, at most twice a
    second. Sinks get every picture; slots only the newest when the decoder is behind. A queue
    that overflows is emptied, since the frames behind a hole cannot be decoded anyway.
    """

    def __init__(
        self, codec: str, on_error: Callable[[], None], pool: DecodePool | None = None
    ) -> None:
        name = DECODERS.get(codec.upper())
        if name is None:
            raise NotImplementedError(f"decoding {codec}")
        self._codec_name = name
        self._on_error = on_error
        self._pool = pool or _shared_pool
        self._lock = threading.Lock()
        self._running = threading.RLock()  # held while a frame is being decoded
        self._queue: deque[EncodedVideoFrame] = deque()
        self._context: av.VideoCodecContext | None = None
        self._sinks: tuple[PictureSink, ...] = ()
        self._slots: tuple[VideoSlot, ...] = ()
        self._waiting_for_keyframe = True
        self._asked_at_s = float("-inf")
        self._scheduled = False
        self._closed = False
        self._received = self._decoded = self._errors = self._skipped = self._requests = 0
        self._size = (0, 0)
        self._worker = self._pool.assign()

    def stats(self) -> VideoDecodeStats:
        """Return the counts so far."""
        return VideoDecodeStats(
            received=self._received,
            decoded=self._decoded,
            errors=self._errors,
            skipped=self._skipped,
            keyframe_requests=self._requests,
            width=self._size[0],
            height=self._size[1],
        )

    def add_sink(self, sink: PictureSink) -> None:
        """Call `sink(picture, ts_rtp)` for every picture, on the decoder's thread."""
        with self._lock:
            self._sinks = (*self._sinks, sink)

    def remove_sink(self, sink: PictureSink) -> None:
        """Stop calling `sink`."""
        with self._lock:
            self._sinks = tuple(s for s in self._sinks if s != sink)

    def add_slot(self, slot: VideoSlot) -> None:
        """Scale pictures for `slot`."""
        with self._lock:
            self._slots = (*self._slots, slot)

    def remove_slot(self, slot: VideoSlot) -> None:
        """Stop scaling for `slot`."""
        with self._lock:
            self._slots = tuple(s for s in self._slots if s is not slot)

    def submit(self, frame: EncodedVideoFrame) -> None:
        """Queue one encoded frame for decoding."""
        ask = False
        with self._lock:
            if self._closed:
                return
            self._received += 1
            if len(self._queue) >= QUEUE_FRAMES:
                self._skipped += len(self._queue)
                self._queue.clear()
                self._waiting_for_keyframe = True
            if self._waiting_for_keyframe and not frame.keyframe:
                self._skipped += 1
                ask = self._may_ask()
            else:
                self._waiting_for_keyframe = False
                self._queue.append(frame)
                if not self._scheduled:
                    self._scheduled = True
                    self._worker.schedule(self)
        if ask:
            self._on_error()

    def close(self) -> None:
        """Stop; no sink is called after this returns."""
        with self._running:
            with self._lock:
                if self._closed:
                    return
                self._closed = True
                self._queue.clear()
            self._context = None
        self._pool.release(self._worker)

    def run_one(self) -> bool:
        """Decode the oldest frame; the worker calls again while this returns True."""
        with self._running:
            with self._lock:
                frame = self._queue.popleft() if self._queue else None
            if frame is not None:
                self._show_all(self._decode(frame), frame.ts_rtp)
            with self._lock:
                self._scheduled = bool(self._queue) and not self._closed
                return self._scheduled

    def _show_all(self, pictures: list[Picture], ts_rtp: int) -> None:
        with self._lock:
            sinks, slots = self._sinks, self._slots
        for picture in pictures:
            for sink in sinks:
                self._show(sink, picture, ts_rtp)
            if self._queue:
                continue  # behind: a newer picture is about to replace this one
            for slot in slots:
                self._show(slot.offer, picture, ts_rtp)

    def _show(self, sink: PictureSink, picture: Picture, ts_rtp: int) -> None:
        try:
            sink(picture, ts_rtp)
        except Exception:
            # One viewer's fault must not stop the stream for the others.
            log.exception("video sink failed")

    def _decode(self, frame: EncodedVideoFrame) -> list[Picture]:
        if not frame.data:
            # An empty packet would tell the codec that the stream has ended.
            return self._fail()
        try:
            if self._context is None:
                self._context = _open_decoder(self._codec_name)
            decoded = self._context.decode(av.Packet(frame.data))
            pictures = [Picture.from_frame(_as_i420(item)) for item in decoded]
        except (av.FFmpegError, ValueError):
            return self._fail()
        self._decoded += len(pictures)
        if pictures:
            self._size = (pictures[-1].width, pictures[-1].height)
        return pictures

    def _fail(self) -> list[Picture]:
        with self._lock:
            self._errors += 1
            self._context = None
            while self._queue and not self._queue[0].keyframe:
                self._queue.popleft()
                self._skipped += 1
            # A later keyframe may be waiting already; decoding goes on with that one.
            self._waiting_for_keyframe = not self._queue
            ask = self._waiting_for_keyframe and self._may_ask()
        if ask:
            try:
                self._on_error()
            except Exception:
                log.exception("keyframe request failed")
        return []

    def _may_ask(self) -> bool:
        now_s = time.monotonic()
        if now_s - self._asked_at_s < KEYFRAME_REQUEST_INTERVAL_S:
            return False
        self._asked_at_s = now_s
        self._requests += 1
        return True


def _open_decoder(name: str) -> av.VideoCodecContext:
    context = av.VideoCodecContext.create(name, "r")
    assert isinstance(context, av.VideoCodecContext)
    context.thread_count = 1
    context.flags |= Flags.low_delay
    return context


def _as_i420(frame: av.VideoFrame) -> av.VideoFrame:
    if frame.format.name in ("yuv420p", "yuvj420p"):
        return frame
    return frame.reformat(format="yuv420p", threads=1)
