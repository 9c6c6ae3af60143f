"""What media costs: run it alone, `python -m tests.bench.media.costs [NAME ...]`.

Prints one JSON object. Costs are CPU milliseconds of the thread that does the work, the median
of several rounds; `nine_tiles` is the CPU of the whole process for nine 720p streams through the
decode pool into 374x210 tiles, as fast as they go. Names: decode, encode, audio, mix, nine_tiles.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import av
import numpy as np

from app.media.decode.audio import AudioReceiveStream
from app.media.decode.opus import open_decoder
from app.media.decode.video import DECODERS, DecodePool, VideoDecoder, _open_decoder
from app.media.encode.audio import OpusEncoder
from app.media.encode.rates import LayerSpec
from app.media.encode.video import LayerEncoder
from app.media.frames import Picture
from app.media.play.mixer import Mixer
from app.media.play.video_slot import VideoSlot
from app.media.process.processor import WebRtcProcessor
from app.protocol.rtp.encoded import AudioPacket, EncodedVideoFrame
from tests.support.voices import voice_like

ROUNDS = 5
FRAMES = 60
FPS = 30
TILE = (374, 210)
PEOPLE = 9


def median_ms(work: Callable[[], int]) -> float:
    """Return CPU milliseconds per unit; `work` returns how many units it did."""
    work()
    rounds = []
    for _ in range(ROUNDS):
        start_s = time.thread_time()
        units = work()
        rounds.append((time.thread_time() - start_s) / units * 1000)
    return round(statistics.median(rounds), 3)


def camera_pictures(width: int, height: int, count: int = FRAMES) -> list[Picture]:
    """Somebody who sways in front of a noisy camera: smooth shapes, slow motion, fine noise."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    still = 110 + 50 * np.sin(x / 90) * np.cos(y / 70)
    still += 60 * np.exp(
        -(((x - width / 2) / (width / 6)) ** 2 + ((y - height / 2) / (height / 3)) ** 2)
    )
    still += 12 * np.sin(x / 5) * (y > height * 0.6)
    luma = still.clip(16, 235).astype(np.uint8)
    noise = np.random.default_rng(7).integers(0, 5, (height, width), dtype=np.uint8)
    chroma = np.full(width * height // 2, 120, np.uint8)
    pictures = []
    for n in range(count):
        sway = round(width / 100 * np.sin(2 * np.pi * n / count))
        moved = np.roll(luma, sway, axis=1) + np.roll(noise, n * 7)
        pictures.append(Picture(width, height, np.concatenate((moved.reshape(-1), chroma))))
    return pictures


def encode_all(pictures: list[Picture], spec: LayerSpec, codec: str) -> list[EncodedVideoFrame]:
    encoder = LayerEncoder(spec, codec)
    frames = []
    for n, picture in enumerate(pictures):
        frame = encoder.encode(
            encoder.scale(picture.to_frame()),
            n * 90_000 // FPS,
            force=False,
            bitrate_bps=spec.bitrate_bps,
            now_s=n / FPS,
        )
        if frame is not None:
            frames.append(frame)
    return frames


def bench_decode() -> dict[str, Any]:
    """Decoding and scaling, one 720p stream, per frame; and the layer that fits the tile."""
    results: dict[str, Any] = {}
    pictures = camera_pictures(1280, 720)
    for codec in DECODERS:
        for width, height, bitrate_bps in ((1280, 720, 1_700_000), (640, 360, 500_000)):
            frames = encode_all(pictures, LayerSpec(width, height, bitrate_bps, FPS), codec)
            decoded: list[av.VideoFrame] = []

            def decode(codec: str = codec, frames: Any = frames, decoded: Any = decoded) -> int:
                context = _open_decoder(DECODERS[codec])
                decoded[:] = [f for e in frames for f in context.decode(av.Packet(e.data))]
                return len(decoded)

            slot = VideoSlot()
            slot.set_target(*TILE)

            def scale(slot: VideoSlot = slot, decoded: Any = decoded) -> int:
                for frame in decoded:
                    slot.offer(Picture.from_frame(frame), 0)
                    slot.take()
                return len(decoded)

            name = f"{codec.lower()}_{height}p"
            results[f"{name}_decode_ms"] = median_ms(decode)
            results[f"{name}_to_tile_ms"] = median_ms(scale)
    return results


def bench_encode() -> dict[str, Any]:
    """Encoding one picture: 720p alone, and three layers of it with their scaling."""
    pictures = camera_pictures(1280, 720)
    layers = (
        LayerSpec(1280, 720, 1_700_000, FPS),
        LayerSpec(640, 360, 500_000, FPS),
        LayerSpec(320, 180, 150_000, FPS),
    )
    results: dict[str, Any] = {}
    for codec in DECODERS:
        for name, chosen in (("720p", layers[:1]), ("three_layers", layers)):
            encoders = [LayerEncoder(spec, codec) for spec in chosen]
            clock = [0]

            def encode(encoders: Any = encoders, chosen: Any = chosen, clock: Any = clock) -> int:
                for picture in pictures:
                    larger = picture.to_frame()
                    for encoder, spec in zip(encoders, chosen, strict=True):
                        larger = encoder.scale(larger)
                        encoder.encode(
                            larger,
                            clock[0],
                            force=False,
                            bitrate_bps=spec.bitrate_bps,
                            now_s=clock[0] / 90_000,
                        )
                    clock[0] += 90_000 // FPS
                return len(pictures)

            results[f"{codec.lower()}_{name}_ms"] = median_ms(encode)
            sent = encoders[0].size_bytes * 8 * FPS / encoders[0].encoded
            results[f"{codec.lower()}_{name}_top_layer_bps"] = round(sent)
    return results


def voice_packets(seconds: int) -> list[AudioPacket]:
    encoder, sound = OpusEncoder(), voice_like(seconds)
    return [
        AudioPacket(n, n * 960, encoder.encode(sound[n * 960 : n * 960 + 960]), n * 0.02)
        for n in range(seconds * 50)
    ]


def bench_audio() -> dict[str, Any]:
    """Opus both ways per 20 ms, the jitter buffer and the processing per 10 ms."""
    sound = voice_like(4)
    packets = voice_packets(4)

    def encode() -> int:
        encoder = OpusEncoder()
        for start in range(0, sound.shape[0], 960):
            encoder.encode(sound[start : start + 960])
        return len(sound) // 960

    def decode() -> int:
        decoder = open_decoder(1)
        for packet in packets:
            decoder.decode(packet.payload)
        return len(packets)

    def receive() -> int:
        stream = AudioReceiveStream()
        for packet in packets:
            stream.put(packet)
            stream.pull(480, packet.arrival_s)
            stream.pull(480, packet.arrival_s + 0.01)
        return 2 * len(packets)

    processor = WebRtcProcessor()

    def process() -> int:
        for start in range(0, sound.shape[0], 480):
            processor.note_played(np.repeat(sound[start : start + 480], 2, axis=1))
            processor.process(sound[start : start + 480])
        return len(sound) // 480

    return {
        "opus_encode_20ms_ms": median_ms(encode),
        "opus_decode_20ms_ms": median_ms(decode),
        "receive_10ms_ms": median_ms(receive),
        "process_10ms_ms": median_ms(process),
    }


def bench_mix() -> dict[str, Any]:
    """One 10 ms block of fifty voices: adding up alone, and with jitter buffers and decoders."""
    block = voice_like(0.01)
    plain = Mixer()
    for number in range(50):
        plain.add(number, lambda samples: block)

    def mix() -> int:
        for _ in range(100):
            plain.pull(480)
        return 100

    packets = voice_packets(4)

    def mix_streams() -> int:
        streams = [AudioReceiveStream() for _ in range(50)]
        for packet in packets:
            for stream in streams:
                stream.put(packet)
            for half in range(2):
                for stream in streams:
                    stream.pull(480, packet.arrival_s + half * 0.01)
        return 2 * len(packets)

    return {"fifty_sums_ms": median_ms(mix), "fifty_streams_received_ms": median_ms(mix_streams)}


def bench_nine_tiles() -> dict[str, Any]:
    """Nine 720p streams through decoders and slots: CPU of the process per frame in a tile."""
    frames = encode_all(camera_pictures(1280, 720), LayerSpec(1280, 720, 1_700_000, FPS), "VP8")
    pool = DecodePool()
    decoders = [VideoDecoder("VP8", lambda: None, pool) for _ in range(PEOPLE)]
    slots = [VideoSlot() for _ in range(PEOPLE)]
    arrived = threading.Semaphore(0)
    for decoder, slot in zip(decoders, slots, strict=True):
        slot.set_target(*TILE)
        decoder.add_slot(slot)
        decoder.add_sink(lambda picture, ts_rtp: arrived.release())

    def play() -> int:
        for frame in frames:
            for decoder in decoders:
                decoder.submit(frame)
            for _ in decoders:
                arrived.acquire()
        return len(frames) * PEOPLE

    def process_cpu_s() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    play()
    costs_ms, fps = [], []
    for _ in range(ROUNDS):
        offered = sum(slot.offered for slot in slots)
        start_cpu_s, start_s = process_cpu_s(), time.monotonic()
        play()
        time.sleep(0.05)  # the last tiles are scaled after their sink was called
        shown = sum(slot.offered for slot in slots) - offered
        costs_ms.append((process_cpu_s() - start_cpu_s) / shown * 1000)
        fps.append(shown / (time.monotonic() - start_s))
    for decoder in decoders:
        decoder.close()
    cost_ms = statistics.median(costs_ms)
    return {
        "cpu_per_tile_frame_ms": round(cost_ms, 3),
        "cores_at_30_fps": round(cost_ms * PEOPLE * FPS / 1000, 3),
        "most_tile_frames_per_s": round(statistics.median(fps)),
        "rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


BENCHES = {
    "decode": bench_decode,
    "encode": bench_encode,
    "audio": bench_audio,
    "mix": bench_mix,
    "nine_tiles": bench_nine_tiles,
}


def main(names: list[str]) -> None:
    results: dict[str, Any] = {
        "cores": os.cpu_count(),
        "load_average": [round(value, 2) for value in os.getloadavg()],
    }
    for name in names or list(BENCHES):
        results[name] = BENCHES[name]()
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
