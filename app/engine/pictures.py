"""Which tile slots show whom: remote decoders and one's own camera on one side, slots on the other.

A slot is asked for on the Qt thread before the person's video exists and stays while cameras go
and come. Decoders are opened on the engine thread, when somebody looks, and given back when
nobody does: an unseen person costs no decoding.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from app.engine.events import VideoKind
from app.engine.track import RemoteVideoTrack
from app.media.decode.video import VideoDecoder
from app.media.frames import Picture
from app.media.play.video_slot import VideoSlot

Key = tuple[str, VideoKind]

OWN: Key = ("", VideoKind.CAMERA)


class Pictures:
    """Connects slots and sources; made on the engine thread.

    `open_slot`, `close_slot` may be called from any thread, `offer_own` from the capture thread.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._slots: dict[VideoSlot, Key] = {}
        self._own_slots: tuple[VideoSlot, ...] = ()
        # Somebody may have two cameras: the newest is shown, and the one before when it ends.
        self._tracks: dict[Key, list[RemoteVideoTrack]] = {}
        # Engine thread only: what is wired up right now.
        self._decoders: dict[Key, tuple[RemoteVideoTrack, VideoDecoder]] = {}
        self._wired: dict[VideoSlot, VideoDecoder] = {}
        self._me = ""
        self.on_demand: Callable[[], None] | None = None
        """Called on the engine thread when somebody starts or stops to look."""

    def open_slot(self, identity: str, kind: VideoKind, on_ready: Callable[[], None]) -> VideoSlot:
        """Make a slot for a person's picture; "" is one's own camera."""
        slot = VideoSlot(on_ready)
        with self._lock:
            key = self._key(identity, kind)
            self._slots[slot] = key
            self._own_slots = self._looking_at(OWN)
        self._soon(key)
        return slot

    def close_slot(self, slot: VideoSlot) -> None:
        """Stop filling `slot` for good."""
        with self._lock:
            key = self._slots.pop(slot, None)
            self._own_slots = self._looking_at(OWN)
        slot.close()
        if key is not None:
            self._soon(key)

    def set_me(self, identity: str) -> None:
        """Say under which identity this person is in the meeting; "" outside of one."""
        with self._lock:
            self._me = identity
            for slot, key in self._slots.items():
                self._slots[slot] = self._key(*key)
            self._own_slots = self._looking_at(OWN)

    def set_track(self, identity: str, kind: VideoKind, track: RemoteVideoTrack) -> None:
        """Say where a person's pictures come from now (engine thread)."""
        tracks = self._tracks.setdefault((identity, kind), [])
        if track in tracks:
            tracks.remove(track)
        tracks.append(track)
        self._wire((identity, kind))

    def drop_track(self, track: RemoteVideoTrack) -> None:
        """Forget a track that ended; another of the same person may be there to be shown."""
        for key in [key for key, known in self._tracks.items() if track in known]:
            self._tracks[key].remove(track)
            if not self._tracks[key]:
                del self._tracks[key]
            self._wire(key)

    def drop_all_tracks(self) -> None:
        """Forget every remote track: the meeting is over. Slots stay."""
        keys = list(self._tracks)
        self._tracks.clear()
        for key in keys:
            self._wire(key)

    def demand(self, identity: str, kind: VideoKind) -> tuple[int, int] | None:
        """Say how large the largest tile of a person is, None when nobody looks."""
        with self._lock:
            slots = self._looking_at((identity, kind))
        sizes = [slot.target_size for slot in slots]
        return max((size for size in sizes if size is not None), default=None)

    def offer_own(self, picture: Picture, ts_rtp: int) -> None:
        """Show one's own picture wherever it is looked at."""
        for slot in self._own_slots:
            slot.offer(picture, ts_rtp)

    def close(self) -> None:
        """Give every decoder back."""
        self.drop_all_tracks()
        with self._lock:
            slots = list(self._slots)
            self._slots.clear()
            self._own_slots = ()
        for slot in slots:
            slot.close()

    def _key(self, identity: str, kind: VideoKind) -> Key:
        is_own = kind is VideoKind.CAMERA and identity in ("", self._me)
        return OWN if is_own else (identity, kind)

    def _looking_at(self, key: Key) -> tuple[VideoSlot, ...]:
        return tuple(slot for slot, its_key in self._slots.items() if its_key == key)

    def _soon(self, key: Key) -> None:
        try:
            self._loop.call_soon_threadsafe(self._wire, key)
        except RuntimeError:
            # The engine has ended; the window gives its slots back a moment later.
            return

    def _wire(self, key: Key) -> None:
        """Make decoder and slots of `key` agree with who looks and what there is to see."""
        self._rewire(key)
        if self.on_demand is not None:
            self.on_demand()

    def _rewire(self, key: Key) -> None:
        with self._lock:
            slots = self._looking_at(key)
        track = next(reversed(self._tracks.get(key, ())), None)
        opened = self._decoders.get(key)
        if opened is not None and (opened[0] is not track or not slots):
            del self._decoders[key]
            for slot in [s for s, decoder in self._wired.items() if decoder is opened[1]]:
                opened[1].remove_slot(slot)
                del self._wired[slot]
            opened[0].close_decoder()
            opened = None
        if track is None or not slots or track.ended:
            return
        if opened is None:
            opened = self._decoders[key] = (track, track.open_decoder())
        decoder = opened[1]
        for slot in slots:
            if slot not in self._wired:
                self._wired[slot] = decoder
                decoder.add_slot(slot)
        for slot in [s for s, d in self._wired.items() if d is decoder and s not in slots]:
            decoder.remove_slot(slot)
            del self._wired[slot]
