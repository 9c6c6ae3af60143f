"""An unmodified official SDK (the `livekit` wheel) in a process of its own.

`SdkPeer` is the test's side: every call is one JSON line with a deadline, answered by one JSON
line. Run as a module, this file is the other side, the only place where the wheel is imported:
one wrong field from us aborts it, and that has to be one failed test with its stderr.

Our engine has the same door: with `module="app.engine.rtc"` the child is one of ours.

Nothing is judged in the child. It reports what arrived (tone peaks, colours, frame counters,
texts, hashes) and the test decides.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import importlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.child import Child, let_go, take_child

DEADLINE_S = 30.0
COMMAND = (sys.executable, "-m", "tests.support.sdk_peer")
WHEEL, OURS = "livekit.rtc", "app.engine.rtc"
_MAX_LINE_BYTES = 16 * 1024 * 1024


class SdkPeerError(AssertionError):
    """The SDK refused, died, or did not answer in time; its stderr is in the message."""


class SdkPeer:
    """Drives one official SDK; use it as an async context manager."""

    def __init__(self, identity: str, *, module: str = WHEEL) -> None:
        self.identity = identity
        self._command = COMMAND if module == WHEEL else (*COMMAND, module)
        self._child: Child | None = None
        self._count = 0
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._child = await take_child(self._command)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._child is not None
        await let_go(self._child)

    @property
    def pid(self) -> int:
        """The child's process id."""
        assert self._child is not None
        return self._child.pid

    async def call(self, command: str, *, deadline_s: float = DEADLINE_S, **fields: Any) -> Any:
        """Run one command in the child and return its result."""
        async with self._lock:
            self._count += 1
            line = json.dumps({"id": self._count, "command": command, **fields})
            try:
                async with asyncio.timeout(deadline_s):
                    answer = await self._exchange(line)
            except TimeoutError as error:
                os.kill(self.pid, signal.SIGUSR1)
                await asyncio.sleep(0.5)
                raise SdkPeerError(
                    self._words(f"{command}: no answer in {deadline_s} s")
                ) from error
        if not answer["ok"]:
            raise SdkPeerError(self._words(f"{command}: {answer['error']}"))
        return answer["result"]

    async def _exchange(self, line: str) -> dict[str, Any]:
        child = self._child
        assert child is not None
        try:
            await child.write_line(line)
        except OSError as error:
            raise SdkPeerError(self._words("the SDK's process is gone")) from error
        reply = await child.read_line()
        if not reply:
            status = await child.wait()
            raise SdkPeerError(self._words(f"the SDK's process ended with status {status}"))
        answer: dict[str, Any] = json.loads(reply)
        return answer

    def _words(self, text: str) -> str:
        assert self._child is not None
        return f"{self.identity}: {text}\n--- its stderr ---\n{self._child.words[-4000:]}"

    @property
    def log(self) -> str:
        """What its process wrote to stderr so far."""
        assert self._child is not None
        return self._child.words

    def kill(self) -> None:
        """End the process as `kill -9` does: no goodbye of any kind."""
        os.kill(self.pid, signal.SIGKILL)

    # --- commands

    async def connect(self, url: str, token: str, **options: Any) -> dict[str, Any]:
        """Join; the result has `sid`, `seconds` and the people already there."""
        result: dict[str, Any] = await self.call("connect", url=url, token=token, **options)
        return result

    async def wait_event(self, name: str, *, deadline_s: float = DEADLINE_S, **match: Any) -> Any:
        """Wait for an event, past or coming, whose fields equal `match`; each is seen once."""
        return await self.call(
            "wait_event", name=name, match=match, deadline_s=deadline_s + 5, within_s=deadline_s
        )

    async def wait_media(self, what: str, *, deadline_s: float = DEADLINE_S, **match: Any) -> Any:
        """Wait until a received track shows `what` (`tone` or `frames`) and return its report."""
        return await self.call(
            "wait_media", what=what, match=match, deadline_s=deadline_s + 5, within_s=deadline_s
        )


# --- the child -------------------------------------------------------------------------------

TONE_SECONDS = 1.0
WATCHED_EVENTS = {
    "participant_connected": ("participant",),
    "participant_disconnected": ("participant",),
    "track_published": ("publication", "participant"),
    "track_unpublished": ("publication", "participant"),
    "track_subscribed": ("track", "publication", "participant"),
    "track_unsubscribed": ("track", "publication", "participant"),
    "track_muted": ("participant", "publication"),
    "track_unmuted": ("participant", "publication"),
    "local_track_subscribed": ("track",),
    "participant_name_changed": ("participant", "old", "new"),
    "participant_metadata_changed": ("participant", "old", "new"),
    "participant_attributes_changed": ("changed", "participant"),
    "participant_permissions_changed": ("participant", "permissions"),
    "room_metadata_changed": ("old", "new"),
    "local_track_unpublished": ("publication",),
    "moved": (),
    "active_speakers_changed": ("speakers",),
    "data_received": ("packet",),
    "connected": (),
    "disconnected": ("reason",),
    "reconnecting": (),
    "reconnected": (),
    "token_refreshed": (),
    "data_track_published": ("data_track",),
    "data_track_unpublished": ("sid",),
}


class _Tone:
    """The last second of one received voice."""

    def __init__(self) -> None:
        self.blocks: list[Any] = []
        self.frames = 0

    async def run(self, stream: AsyncIterator[Any]) -> None:
        import numpy as np

        async for event in stream:
            block = np.frombuffer(event.frame.data, dtype=np.int16)
            self.frames += 1
            self.blocks.append(block)
            while sum(b.size for b in self.blocks) > 48_000 * TONE_SECONDS + block.size:
                self.blocks.pop(0)

    def report(self) -> dict[str, Any]:
        import numpy as np

        from tests.support.signals import tone_peak

        pcm = np.concatenate(self.blocks) if self.blocks else np.zeros(0, np.int16)
        if pcm.size < 48_000 * TONE_SECONDS:
            return {"kind": "audio", "frames": self.frames, "freq_hz": 0.0, "over_median_db": 0.0}
        peak = tone_peak(pcm)
        return {
            "kind": "audio",
            "frames": self.frames,
            "freq_hz": float(peak.freq_hz),
            "over_median_db": float(peak.over_median_db),
            "peak_level": int(np.abs(pcm).max()),
        }


class _Video:
    """What one received picture track showed."""

    def __init__(self) -> None:
        self.frames = 0
        self.size = (0, 0)
        self.sizes: set[tuple[int, int]] = set()
        self.colour = (0, 0, 0)
        self.counters: list[int] = []
        self.restarts = 0
        self.first_at_s = 0.0

    async def run(self, stream: AsyncIterator[Any]) -> None:
        import numpy as np

        from tests.support.signals import read_cells

        async for event in stream:
            frame = event.frame
            self.frames += 1
            self.first_at_s = self.first_at_s or asyncio.get_running_loop().time()
            self.size = (frame.width, frame.height)
            self.sizes.add(self.size)
            flat = np.frombuffer(frame.data, dtype=np.uint8)
            luma = flat[: frame.width * frame.height].reshape(frame.height, frame.width)
            counter = read_cells(luma, frame.width, frame.height)
            if counter is not None:
                if self.counters and counter < self.counters[-1]:
                    self.restarts += 1
                self.counters.append(counter)
            if self.frames % 10 == 1:
                self.colour = self._corner(frame)

    def _corner(self, frame: Any) -> tuple[int, int, int]:
        import numpy as np
        from livekit import rtc

        rgba = np.frombuffer(frame.convert(rtc.VideoBufferType.RGBA).data, dtype=np.uint8)
        picture = rgba.reshape(frame.height, frame.width, 4)
        red, green, blue = picture[-frame.height // 8 :, : frame.width // 8, :3].mean(axis=(0, 1))
        return int(red), int(green), int(blue)

    def report(self) -> dict[str, Any]:
        return {
            "kind": "video",
            "frames": self.frames,
            "width": self.size[0],
            "height": self.size[1],
            "sizes": sorted(self.sizes),
            "colour": self.colour,
            "counters": len(set(self.counters)),
            "first": self.counters[0] if self.counters else None,
            "last": self.counters[-1] if self.counters else None,
            "restarts": self.restarts,
            "first_at_s": self.first_at_s,
        }


class _Child:
    """The process that holds the wheel."""

    def __init__(self) -> None:
        # Typed loosely on purpose: names of events and options come from the test.
        self.rtc: Any = importlib.import_module(next(iter(sys.argv[1:]), WHEEL))
        importlib.import_module("tests.support.signals")  # what takes its time to load, at once
        self.room = self.rtc.Room()
        self.events: list[dict[str, Any]] = []
        self.seen: set[int] = set()
        self.news = asyncio.Event()
        self.inbox: list[dict[str, Any]] = []
        self.held: list[Any] = []
        self.writers: dict[str, Any] = {}
        self.flood: asyncio.Task[int] | None = None
        self.media: dict[str, tuple[dict[str, Any], _Tone | _Video]] = {}
        self.tasks: set[asyncio.Task[Any]] = set()
        self.sources: dict[str, tuple[Any, asyncio.Task[Any], Any]] = {}
        self.data_tracks: dict[str, Any] = {}
        self.slow_calls = 0
        self.remote_data_tracks: list[Any] = []
        self.data_streams: dict[str, tuple[Any, list[Any]]] = {}
        self.downloads = Path(tempfile.mkdtemp(prefix="sdk-peer-"))
        for name, fields in WATCHED_EVENTS.items():
            self.room.on(name, self._watch(name, fields))
        self.room.on("track_subscribed", self._receive)
        self.room.on("data_track_published", self.remote_data_tracks.append)
        self.room.on("track_unsubscribed", self._forget)

    def keep(self, coro: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(coro)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def _watch(self, name: str, fields: tuple[str, ...]) -> Callable[..., None]:
        def note(*values: Any) -> None:
            event: dict[str, Any] = {"event": name}
            for field, value in zip(fields, values, strict=False):
                event.update(_describe(field, value))
            self.events.append(event)
            self.news.set()

        return note

    def _receive(self, track: Any, publication: Any, participant: Any) -> None:
        rtc = self.rtc
        about = {"sid": publication.sid, "identity": participant.identity}
        reader: _Tone | _Video
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            reader = _Tone()
            self.keep(reader.run(rtc.AudioStream(track, sample_rate=48_000, num_channels=1)))
        else:
            reader = _Video()
            self.keep(reader.run(rtc.VideoStream(track, format=rtc.VideoBufferType.I420)))
        self.media[publication.sid] = (about, reader)

    def _forget(self, _track: Any, publication: Any, _participant: Any) -> None:
        self.media.pop(publication.sid, None)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, _print_tasks)
        reader = asyncio.StreamReader(limit=_MAX_LINE_BYTES)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            request = json.loads(line)
            try:
                method = getattr(self, f"do_{request['command']}")
                result = await method(request)
                answer = {"id": request["id"], "ok": True, "result": result}
            except Exception as error:  # noqa: BLE001 - whatever it is, the test is told
                answer = {"id": request["id"], "ok": False, "error": repr(error)}
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self.room.disconnect(), 3.0)

    async def do_connect(self, request: dict[str, Any]) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        options = self.rtc.RoomOptions(auto_subscribe=request.get("auto_subscribe", True))
        started_s = loop.time()
        await self.room.connect(request["url"], request["token"], options)
        seconds = loop.time() - started_s
        return {
            "sid": self.room.local_participant.sid,
            "room_sid": await self.room.sid,
            "seconds": seconds,
            "started_s": started_s,
            "people": await self.do_people(request),
        }

    async def do_people(self, _request: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {
                "sid": person.sid,
                "identity": person.identity,
                "name": person.name,
                "metadata": person.metadata,
                "attributes": dict(person.attributes),
                "kind": int(person.kind),
                "kind_details": [int(detail) for detail in person.kind_details],
                "state": int(person.state),
                "tracks": [
                    {"sid": p.sid, "name": p.name, "muted": p.muted, "subscribed": p.subscribed}
                    for p in person.track_publications.values()
                ],
            }
            for person in self.room.remote_participants.values()
        ]

    async def do_me(self, _request: dict[str, Any]) -> dict[str, Any]:
        """Tell what this SDK thinks of itself and its room."""
        me = self.room.local_participant
        return {
            "sid": me.sid,
            "name": me.name,
            "metadata": me.metadata,
            "attributes": dict(me.attributes),
            "room": self.room.name,
            "room_metadata": self.room.metadata,
            "may_publish": me.permissions.can_publish,
            "sources": [int(source) for source in me.permissions.can_publish_sources],
            "may_publish_data": me.permissions.can_publish_data,
            "tracks": [{"sid": p.sid, "muted": p.muted} for p in me.track_publications.values()],
            "slow_calls": self.slow_calls,
        }

    async def do_publish_tone(self, request: dict[str, Any]) -> str:
        rtc = self.rtc
        source = rtc.AudioSource(48_000, 1)
        track = rtc.LocalAudioTrack.create_audio_track(request.get("name", "mic"), source)
        task = self.keep(self._sound(source, request["freq_hz"]))
        wanted = getattr(rtc.TrackSource, request.get("source", "SOURCE_MICROPHONE"))
        options = rtc.TrackPublishOptions(source=wanted)
        publication = await self.room.local_participant.publish_track(track, options)
        self.sources[publication.sid] = (track, task, source)
        return str(publication.sid)

    async def _sound(self, source: Any, freq_hz: float) -> None:
        import numpy as np

        block = 0
        while True:
            frame = self.rtc.AudioFrame.create(48_000, 1, 480)
            samples = np.arange(block * 480, (block + 1) * 480)
            wave = 8_000 * np.sin(2 * np.pi * freq_hz / 48_000 * samples)
            np.frombuffer(frame.data, dtype=np.int16)[:] = wave.astype(np.int16)
            block += 1
            await source.capture_frame(frame)

    async def do_publish_video(self, request: dict[str, Any]) -> str:
        rtc = self.rtc
        width, height = request.get("size", (640, 360))
        source = rtc.VideoSource(width, height)
        track = rtc.LocalVideoTrack.create_video_track(request.get("name", "cam"), source)
        fps = request.get("fps", 15)
        task = self.keep(self._picture(source, width, height, request["colour"], fps))
        codec = getattr(rtc.VideoCodec, request.get("codec", "VP8"))
        options = rtc.TrackPublishOptions(
            source=getattr(rtc.TrackSource, request.get("source", "SOURCE_CAMERA")),
            simulcast=request.get("simulcast", False),
            video_codec=codec,
            video_encoding=rtc.VideoEncoding(
                max_framerate=fps, max_bitrate=request.get("bitrate_bps", 800_000)
            ),
        )
        publication = await self.room.local_participant.publish_track(track, options)
        self.sources[publication.sid] = (track, task, source)
        return str(publication.sid)

    async def _picture(
        self, source: Any, width: int, height: int, colour: tuple[int, int, int], fps: float
    ) -> None:
        import numpy as np

        from app.media.capture.generated import yuv_of
        from app.media.capture.pattern import draw_counter

        rtc, loop = self.rtc, asyncio.get_running_loop()
        planes = [np.full(width * height, yuv_of(colour)[0], np.uint8)]
        planes += [np.full(width * height // 4, value, np.uint8) for value in yuv_of(colour)[1:]]
        counter, next_s = 0, loop.time()
        while True:
            counter += 1
            luma = planes[0].reshape(height, width).copy()
            draw_counter(luma, counter)
            data = b"".join([luma.tobytes(), planes[1].tobytes(), planes[2].tobytes()])
            source.capture_frame(rtc.VideoFrame(width, height, rtc.VideoBufferType.I420, data))
            next_s = max(next_s + 1 / fps, loop.time())
            await asyncio.sleep(next_s - loop.time())

    async def do_unpublish(self, request: dict[str, Any]) -> None:
        _, task, _ = self.sources.pop(request["sid"])
        task.cancel()
        await self.room.local_participant.unpublish_track(request["sid"])

    async def do_mute(self, request: dict[str, Any]) -> None:
        track = self.sources[request["sid"]][0]
        if request["muted"]:
            track.mute()
        else:
            track.unmute()

    async def do_allow(self, request: dict[str, Any]) -> None:
        """Say who may have this one's tracks: everybody, or these, all or only some of them."""
        permission = self.rtc.ParticipantTrackPermission
        self.room.local_participant.set_track_subscription_permissions(
            allow_all_participants=request.get("everyone", False),
            participant_permissions=[
                permission(
                    participant_identity=identity,
                    allow_all=tracks == "all",
                    allowed_track_sids=[] if tracks == "all" else tracks,
                )
                for identity, tracks in request.get("people", {}).items()
            ],
        )

    async def do_subscribe(self, request: dict[str, Any]) -> None:
        for person in self.room.remote_participants.values():
            publication = person.track_publications.get(request["sid"])
            if publication is not None:
                publication.set_subscribed(request["subscribed"])
                return
        raise LookupError("no such publication")

    async def do_wait_event(self, request: dict[str, Any]) -> dict[str, Any]:
        async with asyncio.timeout(request["within_s"]):
            while True:
                for index, event in enumerate(self.events):
                    if index in self.seen or event["event"] != request["name"]:
                        continue
                    if all(event.get(key) == value for key, value in request["match"].items()):
                        self.seen.add(index)
                        return event
                self.news.clear()
                await self.news.wait()

    async def do_events(self, _request: dict[str, Any]) -> list[dict[str, Any]]:
        return self.events

    async def do_wait_media(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the report of the first matching track once it shows what is asked for."""
        match = dict(request["match"])
        freq_hz, frames = match.pop("freq_hz", 0.0), match.pop("frames", 1)
        try:
            async with asyncio.timeout(request["within_s"]):
                while True:
                    for about, reader in self.media.values():
                        if any(about.get(key) != value for key, value in match.items()):
                            continue
                        report = {**about, **reader.report()}
                        if _shows(request["what"], report, freq_hz, frames):
                            return report
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise TimeoutError(f"only {await self.do_media(request)}") from None

    async def do_media(self, _request: dict[str, Any]) -> list[dict[str, Any]]:
        return [{**about, **reader.report()} for about, reader in self.media.values()]

    async def do_listen(self, request: dict[str, Any]) -> None:
        """Take texts and files of a topic into the inbox."""
        topic = request["topic"]
        self.room.register_text_stream_handler(
            topic, lambda reader, who: self.keep(self._take_text(topic, reader, who))
        )
        self.room.register_byte_stream_handler(
            topic, lambda reader, who: self.keep(self._take_file(topic, reader, who))
        )

    async def _take_text(self, topic: str, reader: Any, who: str) -> None:
        about = {"kind": "text", "topic": topic, "from": who, "id": reader.info.stream_id}
        try:
            text = await reader.read_all()
        except self.rtc.StreamError as error:
            self._deliver({**about, "error": str(error)})
            return
        attributes = dict(reader.info.attributes or {})
        attachments = list(reader.info.attachments)
        self._deliver({**about, "text": text, "attributes": attributes, "attached": attachments})

    async def _take_file(self, topic: str, reader: Any, who: str) -> None:
        digest, size = hashlib.sha256(), 0
        about = {"kind": "file", "topic": topic, "from": who, "name": reader.info.name}
        try:
            async for chunk in reader:
                digest.update(chunk)
                size += len(chunk)
        except self.rtc.StreamError as error:
            self._deliver({**about, "id": reader.info.stream_id, "error": str(error)})
            return
        about |= {"id": reader.info.stream_id, "attributes": dict(reader.info.attributes or {})}
        self._deliver({**about, "size": size, "sha256": digest.hexdigest()})

    def _deliver(self, item: dict[str, Any]) -> None:
        self.inbox.append(item)
        self.news.set()

    async def do_wait_inbox(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        """Return all that has arrived once there is that much of it."""
        async with asyncio.timeout(request["within_s"]):
            while len(self.inbox) < request["count"]:
                self.news.clear()
                await self.news.wait()
        return self.inbox

    async def do_wait_item(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the first thing in the inbox whose fields equal `match`."""
        match = request["match"]
        async with asyncio.timeout(request["within_s"]):
            while True:
                for item in self.inbox:
                    if all(item.get(key) == value for key, value in match.items()):
                        return item
                self.news.clear()
                await self.news.wait()

    async def do_send_text(self, request: dict[str, Any]) -> None:
        await self.room.local_participant.send_text(
            request["text"],
            topic=request["topic"],
            destination_identities=request.get("to", []),
            attributes=request.get("attributes", {}),
            reply_to_id=request.get("reply_to"),
            compress=request.get("compress", True),
        )

    async def do_send_file(self, request: dict[str, Any]) -> str:
        """Send a file of random bytes and return its hash."""
        data = os.urandom(request["size"])
        path = self.downloads / request.get("name", "file.bin")
        path.write_bytes(data)
        await self.room.local_participant.send_file(
            str(path), topic=request["topic"], destination_identities=request.get("to", [])
        )
        return hashlib.sha256(data).hexdigest()

    async def do_write_text(self, request: dict[str, Any]) -> None:
        """Send a text piece by piece; `abort` ends it with that reason."""
        writer = await self.room.local_participant.stream_text(
            topic=request["topic"], destination_identities=request.get("to", [])
        )
        for piece in request["pieces"]:
            await writer.write(piece)
        await writer.aclose(
            reason=request.get("abort", ""), attributes=request.get("attributes", {})
        )

    async def do_hold(self, request: dict[str, Any]) -> None:
        """Take files of a topic and read nothing of them."""
        self.room.register_byte_stream_handler(
            request["topic"], lambda reader, _: self.held.append(reader)
        )

    async def do_open_text(self, request: dict[str, Any]) -> str:
        """Begin a text; `append_text` and `close_text` (`abort` is why) go on with it."""
        writer = await self.room.local_participant.stream_text(topic=request["topic"])
        self.writers[writer.info.stream_id] = writer
        return str(writer.info.stream_id)

    async def do_append_text(self, request: dict[str, Any]) -> None:
        await self.writers[request["stream"]].write(request["piece"])

    async def do_close_text(self, request: dict[str, Any]) -> None:
        await self.writers.pop(request["stream"]).aclose(reason=request.get("abort", ""))

    async def do_memory(self, _request: dict[str, Any]) -> dict[str, int]:
        """Bytes of memory in use, and the most since the last time this was asked."""
        return _memory()

    async def do_answer_calls(self, _request: dict[str, Any]) -> None:
        """Answer `echo`, `refuse`, `fail`, `slow` and `count` from now on."""
        me, rtc = self.room.local_participant, self.rtc
        self.calls = self.slow_calls = 0

        async def echo(data: Any) -> str:
            return f"{data.caller_identity}:{data.payload}"

        async def refuse(_data: Any) -> str:
            raise rtc.RpcError(7, "nope", "why")

        async def fail(_data: Any) -> str:
            raise ValueError("private")

        async def slow(_data: Any) -> str:
            self.slow_calls += 1
            await asyncio.sleep(60)
            return ""

        async def count(_data: Any) -> str:
            self.calls += 1
            return str(self.calls)

        for method in (echo, refuse, fail, slow, count):
            me.register_rpc_method(method.__name__, method)

    async def do_call_peer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Call somebody and tell the answer or the error, and how long it took."""
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        try:
            payload = await self.room.local_participant.perform_rpc(
                destination_identity=request["to"],
                method=request["method"],
                payload=request["payload"],
                response_timeout=request.get("response_timeout"),
            )
        except self.rtc.RpcError as error:
            return {"code": int(error.code), "message": error.message, "data": error.data}
        return {"payload": payload, "ms": (loop.time() - started_s) * 1000}

    async def do_time_calls(self, request: dict[str, Any]) -> list[float]:
        """Round trips of calls with an empty payload, in milliseconds."""
        asked = {"to": request["to"], "method": request["method"], "payload": ""}
        return [(await self.do_call_peer(asked))["ms"] for _ in range(request["count"])]

    async def do_publish_data(self, request: dict[str, Any]) -> None:
        await self.room.local_participant.publish_data(
            base64.b64decode(request["data"]),
            reliable=request.get("reliable", True),
            destination_identities=request.get("to", []),
            topic=request.get("topic", ""),
        )

    async def do_publish_numbers(self, request: dict[str, Any]) -> None:
        """Send consecutive numbers as reliable packets, a few milliseconds apart."""
        first = request.get("first", 0)
        for number in range(first, first + request["count"]):
            await self.room.local_participant.publish_data(str(number), topic=request["topic"])
            await asyncio.sleep(request["interval_s"])

    async def do_start_flood(self, request: dict[str, Any]) -> None:
        """Send numbers to everybody, so many a second: `most` of them, or until `stop_flood`."""
        self.is_flooding = True
        self.flood = self.keep(
            self._flood(request["per_second"], request["reliable"], request["most"])
        )

    async def _flood(self, per_second: float, reliable: bool, most: int) -> int:
        loop = asyncio.get_running_loop()
        begun_s, sent = loop.time(), 0
        while self.is_flooding and sent < most:
            due = min(most, int((loop.time() - begun_s) * per_second) + 1)
            # A slow machine floods slower: the rest of this SDK has to run as well.
            for _ in range(min(due - sent, 50)):
                await self.room.local_participant.publish_data(
                    str(sent).encode(), reliable=reliable, topic="flood"
                )
                sent += 1
            await asyncio.sleep(0.002)
        return sent

    async def do_stop_flood(self, _request: dict[str, Any]) -> int:
        """End it, say so to everybody, and tell how many were sent."""
        assert self.flood is not None
        self.is_flooding = False
        sent = await self.flood
        await self.room.local_participant.publish_data(b"", topic="flood-end")
        return sent

    async def do_set_name(self, request: dict[str, Any]) -> None:
        await self.room.local_participant.set_name(request["name"])

    async def do_set_attributes(self, request: dict[str, Any]) -> None:
        await self.room.local_participant.set_attributes(request["attributes"])

    async def do_write_down(self, request: dict[str, Any]) -> None:
        """Say in the older way what was said on a track: `[id, text, is it final]` each."""
        rtc = self.rtc
        segments = [
            rtc.TranscriptionSegment(
                id=segment_id, text=text, start_time=0, end_time=1, language="en", final=final
            )
            for segment_id, text, final in request["segments"]
        ]
        await self.room.local_participant.publish_transcription(
            rtc.Transcription(
                participant_identity=request["who"], track_sid=request["sid"], segments=segments
            )
        )

    async def do_simulate(self, request: dict[str, Any]) -> None:
        kind = getattr(self.rtc.SimulateScenarioKind, f"SIMULATE_{request['scenario']}")
        await self.room.simulate_scenario(kind)

    # Data tracks

    async def do_publish_data_track(self, request: dict[str, Any]) -> str:
        track = await self.room.local_participant.publish_data_track(name=request["name"])
        self.data_tracks[request["name"]] = track
        return str(track.info.sid)

    async def do_push_frames(self, request: dict[str, Any]) -> dict[str, int]:
        """Push `count` frames: the number in decimal, then filling to `size`; stamped with it."""
        track, pushed, refused = self.data_tracks[request["name"]], 0, 0
        size, first = request.get("size", 0), request.get("first", 0)
        for number in range(first, first + request["count"]):
            payload = str(number).encode().ljust(size, b".")
            stamp = number if request.get("stamped", True) else None
            try:
                track.try_push(self.rtc.DataTrackFrame(payload, user_timestamp=stamp))
                pushed += 1
            except self.rtc.PushFrameError:
                refused += 1
            await asyncio.sleep(request.get("interval_s", 0.005))
        return {"pushed": pushed, "refused": refused}

    async def do_local_data_track(self, request: dict[str, Any]) -> dict[str, Any]:
        track = self.data_tracks[request["name"]]
        return {"sid": track.info.sid, "published": track.is_published()}

    async def do_unpublish_data_track(self, request: dict[str, Any]) -> None:
        await self.data_tracks.pop(request["name"]).unpublish()

    async def do_remote_data_tracks(self, _request: dict[str, Any]) -> dict[str, Any]:
        return {
            track.info.name: {
                "sid": track.info.sid,
                "identity": track.publisher_identity,
                "published": track.is_published(),
            }
            for track in self.remote_data_tracks
        }

    async def do_subscribe_data_track(self, request: dict[str, Any]) -> None:
        found = [t for t in self.remote_data_tracks if t.info.name == request["name"]]
        track = found[-1]
        if "max_partial_frames" in request:
            track.set_pipeline_options(max_partial_frames=request["max_partial_frames"])
        stream = track.subscribe(buffer_size=request.get("buffer_size"))
        frames: list[tuple[bytes, int | None] | str] = []
        self.data_streams[request["name"]] = (stream, frames)
        self.keep(self._read_data_track(stream, frames))

    async def _read_data_track(
        self, stream: Any, frames: list[tuple[bytes, int | None] | str]
    ) -> None:
        try:
            async for frame in stream:
                frames.append((bytes(frame.payload), frame.user_timestamp))
                self.news.set()
            frames.append("end")
        except self.rtc.SubscribeDataTrackError as error:
            frames.append(f"error: {error.message}")
        self.news.set()

    async def do_data_frames(self, request: dict[str, Any]) -> dict[str, Any]:
        """Wait for `count` frames of a subscribed track and describe all that came."""
        _, frames = self.data_streams[request["name"]]
        async with asyncio.timeout(request.get("within_s", DEADLINE_S)):
            while len(frames) < request["count"]:
                self.news.clear()
                await self.news.wait()
        got = [frame for frame in frames if not isinstance(frame, str)]
        return {
            "numbers": [int(payload.rstrip(b".")) for payload, _ in got],
            "sizes": sorted({len(payload) for payload, _ in got}),
            "stamps": [stamp for _, stamp in got],
            "ends": [frame for frame in frames if isinstance(frame, str)],
        }

    async def do_data_stream_ends(self, request: dict[str, Any]) -> list[str]:
        """Wait for the end of a subscribed track, or for its error."""
        _, frames = self.data_streams[request["name"]]
        async with asyncio.timeout(DEADLINE_S):
            while not (ends := [frame for frame in frames if isinstance(frame, str)]):
                self.news.clear()
                await self.news.wait()
        return ends

    async def do_close_data_stream(self, request: dict[str, Any]) -> None:
        self.data_streams[request["name"]][0].close()

    async def do_ping_peer(self, request: dict[str, Any]) -> list[float]:
        """Time reliable data packets to a peer that echoes them (`echo`), in milliseconds."""
        loop, times, topic = asyncio.get_running_loop(), [], "ping"
        for number in range(request["count"]):
            answered = asyncio.Event()

            def on_data(packet: Any, number: int = number, answered: Any = answered) -> None:
                if packet.topic == "pong" and packet.data == str(number).encode():
                    answered.set()

            self.room.on("data_received", on_data)
            started_s = loop.time()
            await self.room.local_participant.publish_data(str(number).encode(), topic=topic)
            await answered.wait()
            times.append((loop.time() - started_s) * 1000)
            self.room.off("data_received", on_data)
        return times

    async def do_echo(self, _request: dict[str, Any]) -> None:
        """Answer every `ping` with a `pong` from now on."""

        def on_data(packet: Any) -> None:
            if packet.topic == "ping":
                self.keep(
                    self.room.local_participant.publish_data(bytes(packet.data), topic="pong")
                )

        self.room.on("data_received", on_data)

    async def do_disconnect(self, _request: dict[str, Any]) -> None:
        for _, task, _ in self.sources.values():
            task.cancel()
        await self.room.disconnect()


def _print_tasks() -> None:
    """Say where everything waits: sent to a child whose command got no answer."""
    for task in asyncio.all_tasks():
        task.print_stack(file=sys.stderr)
    sys.stderr.flush()


def _memory() -> dict[str, int]:
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    kilobytes = {"now": fields["VmRSS"], "peak": fields["VmHWM"]}
    return {name: int(value.split()[0]) * 1024 for name, value in kilobytes.items()}


def _shows(what: str, report: dict[str, Any], freq_hz: float, frames: int) -> bool:
    if what == "tone":
        near = abs(report.get("freq_hz", 0.0) - freq_hz) <= 5.0
        return bool(near and report["over_median_db"] >= 15.0)
    if what == "pictures":  # of any source, with or without our counter
        return bool(report["kind"] == "video" and report["frames"] >= frames)
    return bool(report["kind"] == "video" and report["counters"] >= frames)


def _describe(field: str, value: Any) -> dict[str, Any]:
    if field == "participant":
        return {"identity": getattr(value, "identity", ""), "participant": value.sid}
    if field in ("publication", "track"):
        return {"sid": value.sid, "track_name": getattr(value, "name", "")}
    if field == "data_track":
        info = value.info
        return {"identity": value.publisher_identity, "sid": info.sid, "track_name": info.name}
    if field == "speakers":
        return {"speakers": [person.identity for person in value]}
    if field == "packet":
        sender = value.participant.identity if value.participant else ""
        data = base64.b64encode(bytes(value.data)).decode()
        return {"identity": sender, "topic": value.topic, "data": data}
    if field == "changed":
        return {"changed": dict(value)}
    return {field: value if isinstance(value, str | int | None) else str(value)}


async def _main() -> None:
    # The wheel's Room keeps the loop in which it was made.
    await _Child().run()


if __name__ == "__main__":
    asyncio.run(_main())
