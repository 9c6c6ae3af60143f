"""Two people: texts, files, bytes, data packets, names and attributes."""

import asyncio
import hashlib
import json
import os
import pathlib
import sys
import tempfile

from livekit import rtc


async def main(url: str, writer_token: str, reader_token: str) -> None:
    inbox: asyncio.Queue = asyncio.Queue()
    tasks = set()
    reader, writer = rtc.Room(), rtc.Room()

    def keep(coro) -> None:
        task = asyncio.create_task(coro)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def read_text(text: rtc.TextStreamReader, who: str) -> None:
        whole = await text.read_all()
        info = text.info
        await inbox.put(
            ["text", who, whole[:10], len(whole), info.topic, info.mime_type, info.attributes]
        )

    async def read_bytes(data: rtc.ByteStreamReader, who: str) -> None:
        digest, size = hashlib.sha256(), 0
        try:
            async for chunk in data:
                digest.update(chunk)
                size += len(chunk)
        except rtc.StreamError:
            await inbox.put(["broken", who, data.info.name, size])
            return
        info = data.info
        await inbox.put(["file", who, info.name, info.mime_type, size, digest.hexdigest()])

    reader.register_text_stream_handler("notes", lambda text, who: keep(read_text(text, who)))
    reader.register_byte_stream_handler("files", lambda data, who: keep(read_bytes(data, who)))
    reader.on(
        "data_received",
        lambda packet: inbox.put_nowait(
            ["data", packet.participant.identity, packet.data.decode(), packet.topic, packet.kind]
        ),
    )
    reader.on(
        "participant_attributes_changed",
        lambda changed, who: inbox.put_nowait(["attributes", who.identity, dict(changed)]),
    )
    reader.on(
        "participant_name_changed",
        lambda who, old, new: inbox.put_nowait(["name", who.identity, old, new]),
    )
    reader.on(
        "participant_metadata_changed",
        lambda who, old, new: inbox.put_nowait(["metadata", who.identity, old, new]),
    )

    await reader.connect(url, reader_token)
    await writer.connect(url, writer_token)
    me = writer.local_participant
    log = []

    async def next_entry() -> None:
        log.append(await asyncio.wait_for(inbox.get(), 20))

    info = await me.send_text("Grüße 🚆 " * 4000, topic="notes", attributes={"mood": "good"})
    log.append([type(info).__name__, info.size, info.topic])
    await next_entry()
    stream = await me.stream_text(topic="notes", destination_identities=["reader"])
    for piece in ("one ", "two ", "drei"):
        await stream.write(piece)
    await stream.aclose()
    await next_entry()

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "image.png")
        content = bytes(range(256)) * 2000
        await asyncio.to_thread(pathlib.Path(path).write_bytes, content)
        sent = await me.send_file(path, topic="files")
    log.append([sent.name, sent.mime_type, sent.size, hashlib.sha256(content).hexdigest()])
    await next_entry()
    bytes_writer = await me.stream_bytes("raw", total_size=6, topic="files")
    await bytes_writer.write(b"abc")
    await bytes_writer.write(b"def")
    await bytes_writer.aclose()
    await next_entry()
    bytes_writer = await me.stream_bytes("half", topic="files")
    await bytes_writer.write(b"abc")
    await bytes_writer.aclose(reason="interrupted")
    await next_entry()

    await me.publish_data("to everybody", topic="t")
    await next_entry()
    await me.publish_data(b"to you", reliable=True, destination_identities=["reader"], topic="u")
    await next_entry()

    await me.set_attributes({"hand": "1"})
    await next_entry()
    await me.set_name("Writer")
    await next_entry()
    await me.set_metadata("some")
    await next_entry()
    seen = reader.remote_participants["writer"]
    log.append([seen.name, seen.metadata, seen.attributes, me.name, me.attributes])
    try:
        reader.register_text_stream_handler("notes", lambda text, who: None)
    except ValueError:
        log.append("one handler a topic")

    print(json.dumps(log))
    await writer.disconnect()
    await reader.disconnect()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
