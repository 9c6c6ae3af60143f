"""An unmodified LiveKit agent worker with a scripted agent, run in an environment of its own.

    .venv-agents/bin/python tests/support/agent_worker.py ws://host:port key secret name [type]

The agent needs no model and no network but the server: its voice is a tone per sentence, its
hearing measures the tone it is sent, its wit repeats what was said. What the worker sees goes to
stdout as JSON lines; it ends when stdin does. `name` may be empty, `type` is room or
publisher.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time

import numpy as np
from livekit import rtc
from livekit.agents import (
    Agent,
    AgentServer,
    AgentSession,
    JobContext,
    JobRequest,
    llm,
    stt,
    tts,
)
from livekit.agents.job import JobExecutorType
from livekit.agents.voice import room_io
from livekit.agents.worker import ServerType

TONE_HZ = 520.0
RATE = 24_000
SPOKEN_S = 1.2
GREETING = "Hello from the agent."


def say(event: str, **facts: object) -> None:
    """Tell the test."""
    print(json.dumps({"event": event, **facts}), flush=True)


def tone(seconds: float) -> bytes:
    """Return the agent's voice."""
    at = np.arange(int(seconds * RATE)) / RATE
    return (np.sin(2 * np.pi * TONE_HZ * at) * 12_000).astype("<i2").tobytes()


class ToneSpeech(tts.TTS):
    """A voice that knows one note."""

    def __init__(self) -> None:
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=False), sample_rate=RATE, num_channels=1
        )

    def synthesize(self, text: str, *, conn_options=None) -> tts.ChunkedStream:
        return ToneStream(tts=self, input_text=text, conn_options=conn_options)


class ToneStream(tts.ChunkedStream):
    """One sentence of it."""

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(
            request_id="tone", sample_rate=RATE, num_channels=1, mime_type="audio/pcm"
        )
        output_emitter.push(tone(SPOKEN_S))
        output_emitter.flush()


class ToneHearing(stt.STT):
    """Ears that write down the frequency they hear."""

    def __init__(self) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))

    async def _recognize_impl(self, buffer, *, language=None, conn_options=None):
        raise NotImplementedError

    def stream(self, *, language=None, conn_options=None) -> stt.RecognizeStream:
        return ToneHearingStream(stt=self, conn_options=conn_options, sample_rate=16_000)


class ToneHearingStream(stt.RecognizeStream):
    """One second of tone is one sentence; the half of it is an interim result."""

    async def _run(self) -> None:
        heard = np.empty(0, dtype=np.int16)
        was_interim = False
        first_s = 0.0
        async for frame in self._input_ch:
            if not isinstance(frame, rtc.AudioFrame):
                continue
            samples = np.frombuffer(frame.data, dtype=np.int16)
            if np.abs(samples.astype(np.int32)).max(initial=0) < 1000:
                continue
            if not len(heard):
                first_s = time.time()
            heard = np.append(heard, samples)
            if len(heard) >= 8_000 and not was_interim:
                was_interim = True
                self._send(stt.SpeechEventType.INTERIM_TRANSCRIPT, "heard")
            if len(heard) >= 16_000:
                peak = int(np.argmax(np.abs(np.fft.rfft(heard[:16_000].astype(float)))))
                self._send(stt.SpeechEventType.FINAL_TRANSCRIPT, f"heard {peak} Hz")
                say("heard", hz=peak, took_s=time.time() - first_s)
                heard, was_interim = np.empty(0, dtype=np.int16), False

    def _send(self, kind: stt.SpeechEventType, text: str) -> None:
        data = stt.SpeechData(language="en", text=text)
        self._event_ch.send_nowait(stt.SpeechEvent(type=kind, alternatives=[data]))


class Parrot(llm.LLM):
    """A wit that repeats what was said."""

    def chat(self, *, chat_ctx, tools=None, conn_options=None, **_) -> llm.LLMStream:
        return ParrotStream(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class ParrotStream(llm.LLMStream):
    """One answer of it."""

    async def _run(self) -> None:
        said = [item for item in self._chat_ctx.items if getattr(item, "role", "") == "user"]
        text = said[-1].text_content if said else "nothing"
        await asyncio.sleep(0.3)  # thinking
        for word in f"You said: {text}.".split(" "):
            delta = llm.ChoiceDelta(role="assistant", content=f"{word} ")
            self._event_ch.send_nowait(llm.ChatChunk(id="parrot", delta=delta))


async def entrypoint(context: JobContext) -> None:
    """Serve one job."""
    say(
        "job",
        job=context.job.id,
        room=context.job.room.name,
        metadata=context.job.metadata,
        participant=context.job.participant.identity,
        dispatch=context.job.dispatch_id,
    )

    async def ended(reason: str) -> None:
        say("job_ended", job=context.job.id, reason=reason)

    context.add_shutdown_callback(ended)
    if context.job.metadata == "fail":
        raise RuntimeError("told to fail")
    session = AgentSession(
        stt=ToneHearing(),
        llm=Parrot(),
        tts=ToneSpeech(),
        vad=None,
        turn_detection="manual",
    )
    await session.start(
        agent=Agent(instructions="repeat"),
        room=context.room,
        room_options=room_io.RoomOptions(
            audio_input=room_io.AudioInputOptions(
                pre_connect_audio=True, pre_connect_audio_timeout=20.0
            ),
            text_output=room_io.TextOutputOptions(sync_transcription=False),
        ),
        record=False,
    )
    await context.connect()

    @context.room.local_participant.register_rpc_method("greet")
    async def greet(data: rtc.RpcInvocationData) -> str:
        return f"hello {data.payload}"

    @context.room.local_participant.register_rpc_method("say")
    async def speak(data: rtc.RpcInvocationData) -> str:
        session.say(data.payload)
        return "ok"

    @context.room.local_participant.register_rpc_method("leave")
    async def leave(_data: rtc.RpcInvocationData) -> str:
        context.shutdown("asked to")
        return "ok"

    await context.wait_for_participant()
    # What is said before this has no track and no transcription.
    await session.room_io.wait_for_ready()
    session.say(GREETING)


async def main() -> None:
    """Work until stdin ends."""
    url, key, secret, name, kind = [*sys.argv[1:], "room"][:5]
    server = AgentServer(
        job_executor_type=JobExecutorType.THREAD,
        load_fnc=lambda: 0.0,
        num_idle_processes=0,
        ws_url=url,
        api_key=key,
        api_secret=secret,
        host="127.0.0.1",
        port=0,
        log_level="WARN",
        drain_timeout=1,
        shutdown_process_timeout=5.0,
    )

    async def asked(request: JobRequest) -> None:
        say("asked", job=request.id, room=request.room.name)
        if request.job.metadata == os.environ.get("AGENT_REFUSES", "refuse"):
            await request.reject()
            return
        await request.accept(name="Parrot", attributes={"test.attribute": "yes"})

    types = {
        "room": ServerType.ROOM,
        "publisher": ServerType.PUBLISHER,
    }
    server.rtc_session(entrypoint, agent_name=name, type=types[kind], on_request=asked)
    server.on("worker_registered", lambda worker_id, _info: say("registered", worker=worker_id))
    running = asyncio.ensure_future(server.run(devmode=True))

    async def until_stdin_ends() -> None:
        await asyncio.to_thread(sys.stdin.read)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(server.aclose(), 10)

    await asyncio.wait(
        [running, asyncio.ensure_future(until_stdin_ends())],
        return_when=asyncio.FIRST_COMPLETED,
    )
    say("ended")


if __name__ == "__main__":
    asyncio.run(main())
    os._exit(0)  # threads of an agent that hangs are not waited for
