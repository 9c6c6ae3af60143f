"""`join`: a participant without a window, for demos, tests and scripts.

stdout carries one JSON object per line, `event` first: joined, person_joined, person_left, chat,
file, sent, reconnecting, reconnected, left, failed. With `-` in place of the token the first line
of stdin is the token, and every further line is a command: {"chat": TEXT}, {"file": PATH},
{"leave": true}; the end of stdin means that whoever started this is gone, so it leaves.
Exit status 0 after leaving, 1 when it could not join, was thrown out, or failed to send.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from app.runtime.log import configure_logging
from app.runtime.tasks import TaskOwner, spawn

COLOURS = (
    (62, 207, 187),
    (236, 139, 94),
    (112, 142, 232),
    (199, 120, 214),
    (222, 188, 83),
    (104, 184, 102),
    (226, 108, 132),
    (96, 178, 214),
)
FIRST_TONE_HZ = 330.0
TONE_STEP_HZ = 110.0
WIDTH, HEIGHT, FPS, BITRATE_BPS = 640, 360, 15, 500_000


def tone_hz(number: int) -> float:
    """Return the tone by which synthetic person `number` is recognised."""
    return FIRST_TONE_HZ + TONE_STEP_HZ * number


def colour(number: int) -> tuple[int, int, int]:
    """Return the colour of synthetic person `number`."""
    return COLOURS[number % len(COLOURS)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="main.py join",
        description="Join a room without a window and report what happens as JSON lines.",
    )
    parser.add_argument("url", help="ws:// or wss:// address of the server")
    parser.add_argument("token", help="access token, or - to read it from stdin")
    parser.add_argument("--synthetic", action="store_true", help="publish a picture and a tone")
    parser.add_argument("--number", type=int, default=0, help="which colour and tone (default 0)")
    parser.add_argument("--chat", action="append", default=[], metavar="TEXT", help="say this")
    parser.add_argument("--file", action="append", default=[], metavar="PATH", help="send this")
    parser.add_argument("--seconds", type=float, default=0.0, help="leave after this long")
    parser.add_argument("--log-level", default="warning")
    return parser


def main(argv: list[str]) -> int:
    """Join and stay until told to leave."""
    options = _parser().parse_args(argv)
    configure_logging(level=options.log_level)
    token = sys.stdin.readline().strip() if options.token == "-" else options.token
    with contextlib.suppress(KeyboardInterrupt):
        return asyncio.run(_Headless(options, token).run())
    return 0


def report(event: str, **facts: object) -> None:
    """Write one line of the report."""
    print(json.dumps({"event": event, **facts}), flush=True)


class _Headless:
    """One run; everything happens in its loop, media on the threads beneath the door."""

    def __init__(self, options: argparse.Namespace, token: str) -> None:
        self._options = options
        self._token = token
        self._owner = TaskOwner("join")
        self._leaving = asyncio.Event()
        self._status = 0
        self._closers: list[Callable[[], None]] = []

    async def run(self) -> int:
        """Join, do as told, leave."""
        from app.engine import rtc

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError):
                loop.add_signal_handler(number, self._leaving.set)
        self._room = room = rtc.Room()
        self._listen()
        try:
            await room.connect(self._options.url, self._token, rtc.RoomOptions())
        except rtc.ConnectError as error:
            reason = getattr(error.__cause__, "reason", "no_route")
            report("failed", reason=str(reason))
            return 1
        me = room.local_participant
        people = [{"identity": p.identity, "name": p.name} for p in self._others()]
        report("joined", room=room.name, identity=me.identity, name=me.name, people=people)
        try:
            if self._options.synthetic:
                await self._publish()
            if self._options.token == "-":
                self._watch_stdin(loop)
            for text in self._options.chat:
                await self._tell_failure(self._say(text))
            for path in self._options.file:
                await self._tell_failure(self._send(Path(path)))
            await self._stay()
        finally:
            self._leaving.set()
            for close in self._closers:
                await asyncio.to_thread(close)
            await room.disconnect()
            await self._owner.close()
        report("left")
        return self._status

    async def _stay(self) -> None:
        limit_s = self._options.seconds or None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._leaving.wait()

    def _others(self) -> list[Any]:
        return list(self._room.remote_participants.values())

    async def _publish(self) -> None:
        from app.engine import rtc
        from app.engine.enums import TrackSource
        from app.media.capture.generated import GeneratedTone, GeneratedVideo
        from app.media.frames import Picture

        number = self._options.number
        pictures = rtc.VideoSource(WIDTH, HEIGHT)
        sounds = rtc.AudioSource(48_000, 1, queue_size_ms=0)

        def feed(picture: Picture, _ts_rtp: int) -> None:
            pictures.feed_picture(picture)

        video = GeneratedVideo(colour(number), feed, (WIDTH, HEIGHT), FPS)
        tone = GeneratedTone(tone_hz(number), sounds.feed_pcm)
        me = self._room.local_participant
        await me.publish_track(
            rtc.LocalVideoTrack.create_video_track("camera", pictures),
            rtc.TrackPublishOptions(
                source=TrackSource.SOURCE_CAMERA,
                simulcast=False,
                video_encoding=rtc.VideoEncoding(max_bitrate=BITRATE_BPS, max_framerate=FPS),
            ),
        )
        await me.publish_track(
            rtc.LocalAudioTrack.create_audio_track("microphone", sounds),
            # Discontinuous transmission takes a steady tone for noise now and then.
            rtc.TrackPublishOptions(source=TrackSource.SOURCE_MICROPHONE, dtx=False),
        )
        for source in (video, tone):
            source.start()
            self._closers.append(source.close)
        report("publishing", tone_hz=tone_hz(number))

    # -- doing as told ------------------------------------------------------------------------

    async def _say(self, text: str) -> None:
        from app.engine.chat import CHAT_TOPIC

        info = await self._room.local_participant.send_text(text, topic=CHAT_TOPIC)
        report("sent", chat=text, id=info.stream_id)

    async def _send(self, path: Path) -> None:
        from app.engine.transfers import FILE_TOPIC
        from app.protocol.transfers import SHA256_ATTRIBUTE

        digest = await asyncio.to_thread(_sha256, path)
        await self._room.local_participant.send_file(
            str(path), topic=FILE_TOPIC, attributes={SHA256_ATTRIBUTE: digest}
        )
        report("sent", file=path.name, sha256=digest)

    def _watch_stdin(self, loop: asyncio.AbstractEventLoop) -> None:
        def read() -> None:
            with contextlib.suppress(OSError, RuntimeError, ValueError):
                for line in sys.stdin:
                    loop.call_soon_threadsafe(self._obey, line)
                loop.call_soon_threadsafe(self._leaving.set)

        threading.Thread(target=read, name="stdin", daemon=True).start()

    def _obey(self, line: str) -> None:
        try:
            command = json.loads(line)
        except ValueError:
            command = None
        if not isinstance(command, dict):
            report("failed", reason="no command", line=line.strip()[:80])
            return
        if "chat" in command:
            self._start(self._say(str(command["chat"])))
        if "file" in command:
            self._start(self._send(Path(str(command["file"]))))
        if command.get("leave"):
            self._leaving.set()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        spawn(self._tell_failure(work), name="command", owner=self._owner)

    async def _tell_failure(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except OSError as error:
            # A stream that breaks off is a ConnectionError, a missing file a FileNotFoundError.
            self._status = 1
            report("failed", reason=type(error).__name__)

    # -- what happens -------------------------------------------------------------------------

    def _listen(self) -> None:
        from app.engine.chat import CHAT_TOPIC
        from app.engine.transfers import FILE_TOPIC

        room = self._room
        room.on("participant_connected", lambda p: report("person_joined", identity=p.identity))
        room.on("participant_disconnected", lambda p: report("person_left", identity=p.identity))
        room.on("reconnecting", lambda: report("reconnecting"))
        room.on("reconnected", lambda: report("reconnected"))
        room.on("disconnected", self._on_disconnected)
        room.register_text_stream_handler(CHAT_TOPIC, self._on_chat)
        for topic in (FILE_TOPIC, CHAT_TOPIC):
            room.register_byte_stream_handler(topic, self._on_file)

    def _on_disconnected(self, reason: Any) -> None:
        if not self._leaving.is_set():
            self._status = 1
            report("failed", reason=getattr(reason, "name", str(reason)).lower())
            self._leaving.set()

    def _on_chat(self, reader: Any, identity: str) -> None:
        self._start(self._read_chat(reader, identity))

    async def _read_chat(self, reader: Any, identity: str) -> None:
        text = await reader.read_all()
        report("chat", identity=identity, text=text, id=reader.info.stream_id)

    def _on_file(self, reader: Any, identity: str) -> None:
        self._start(self._read_file(reader, identity))

    async def _read_file(self, reader: Any, identity: str) -> None:
        digest, size_bytes = hashlib.sha256(), 0
        async for chunk in reader:
            digest.update(chunk)
            size_bytes += len(chunk)
        name = reader.info.name
        report("file", identity=identity, name=name, bytes=size_bytes, sha256=digest.hexdigest())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
