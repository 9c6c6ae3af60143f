"""One piece of sound and one picture as a script handles them: plain memory and its shape."""

from __future__ import annotations

import io
import wave
from typing import Any

import numpy as np

from app.engine.enums import VideoBufferType
from app.media import pixels
from app.media.frames import Pcm, Picture

SAMPLE_BYTES = 2

_LAYOUTS = {
    VideoBufferType.RGBA: "rgba",
    VideoBufferType.ABGR: "abgr",
    VideoBufferType.ARGB: "argb",
    VideoBufferType.BGRA: "bgra",
    VideoBufferType.RGB24: "rgb24",
    VideoBufferType.I420: "yuv420p",
    VideoBufferType.I420A: "yuva420p",
    VideoBufferType.I422: "yuv422p",
    VideoBufferType.I444: "yuv444p",
    VideoBufferType.I010: "yuv420p10le",
    VideoBufferType.NV12: "nv12",
}


class AudioFrame:
    """Interleaved signed 16-bit samples."""

    def __init__(
        self,
        data: bytes | bytearray | memoryview,
        sample_rate: int,
        num_channels: int,
        samples_per_channel: int,
        *,
        userdata: dict[str, Any] | None = None,
    ) -> None:
        buffer = data.cast("B") if isinstance(data, memoryview) else data
        if len(buffer) < num_channels * samples_per_channel * SAMPLE_BYTES:
            raise ValueError(
                "data length must be >= num_channels * samples_per_channel * sizeof(int16)"
            )
        if len(buffer) % SAMPLE_BYTES:
            raise ValueError("data length must be a multiple of sizeof(int16)")
        self._data = buffer
        self._sample_rate = sample_rate
        self._num_channels = num_channels
        self._samples_per_channel = samples_per_channel
        self._userdata = {} if userdata is None else userdata

    @staticmethod
    def create(sample_rate: int, num_channels: int, samples_per_channel: int) -> AudioFrame:
        """Make a silent frame."""
        size = num_channels * samples_per_channel * SAMPLE_BYTES
        return AudioFrame(bytearray(size), sample_rate, num_channels, samples_per_channel)

    @classmethod
    def from_pcm(cls, pcm: Pcm, sample_rate: int) -> AudioFrame:
        """Make a frame of samples shaped `[samples, channels]`."""
        return cls(bytearray(pcm.tobytes()), sample_rate, pcm.shape[1], pcm.shape[0])

    def to_pcm(self) -> Pcm:
        """Return the samples shaped `[samples, channels]`, sharing this frame's memory."""
        count = self._samples_per_channel * self._num_channels
        flat = np.frombuffer(self._data, dtype=np.int16, count=count)
        return flat.reshape(-1, self._num_channels)

    def overwrite(self, pcm: Pcm) -> None:
        """Replace the samples by others of the same shape."""
        self._data = bytearray(pcm.tobytes())

    @property
    def userdata(self) -> dict[str, Any]:
        """Whatever the caller attached."""
        return self._userdata

    @property
    def data(self) -> memoryview:
        """The samples as a view of 16-bit integers."""
        return memoryview(self._data).cast("B").cast("h")

    @property
    def sample_rate(self) -> int:
        """Samples per second and channel."""
        return self._sample_rate

    @property
    def num_channels(self) -> int:
        """1 for mono, 2 for stereo."""
        return self._num_channels

    @property
    def samples_per_channel(self) -> int:
        """Samples of one channel."""
        return self._samples_per_channel

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self._samples_per_channel / self._sample_rate

    def to_wav_bytes(self) -> bytes:
        """Return a whole WAV file."""
        file = io.BytesIO()
        with wave.open(file, "wb") as wav:
            wav.setnchannels(self._num_channels)
            wav.setsampwidth(SAMPLE_BYTES)
            wav.setframerate(self._sample_rate)
            wav.writeframes(self._data)
        return file.getvalue()

    def __repr__(self) -> str:
        return (
            f"rtc.AudioFrame(sample_rate={self.sample_rate}, num_channels={self.num_channels}, "
            f"samples_per_channel={self.samples_per_channel}, duration={self.duration:.3f})"
        )


def combine_audio_frames(buffer: AudioFrame | list[AudioFrame]) -> AudioFrame:
    """Join frames of one rate and channel count into one; a single frame is returned as it is."""
    if isinstance(buffer, AudioFrame):
        return buffer
    if not buffer:
        raise ValueError("buffer is empty")
    first = buffer[0]
    for frame in buffer:
        if frame.sample_rate != first.sample_rate:
            raise ValueError(
                f"Sample rate mismatch: expected {first.sample_rate}, got {frame.sample_rate}"
            )
        if frame.num_channels != first.num_channels:
            raise ValueError(
                f"Channel count mismatch: expected {first.num_channels}, got {frame.num_channels}"
            )
    joined = bytearray(b"".join(bytes(frame.data.cast("B")) for frame in buffer))
    samples = sum(frame.samples_per_channel for frame in buffer)
    return AudioFrame(joined, first.sample_rate, first.num_channels, samples)


class VideoFrame:
    """Pixels in one of the layouts of `VideoBufferType`, rows and planes without gaps."""

    def __init__(
        self,
        width: int,
        height: int,
        type: VideoBufferType | int,
        data: bytes | bytearray | memoryview,
    ) -> None:
        self._width = width
        self._height = height
        self._type = VideoBufferType(type)
        self._data = data

    @classmethod
    def from_picture(
        cls, picture: Picture, type: VideoBufferType | int = VideoBufferType.I420
    ) -> VideoFrame:
        """Make a frame of a decoded picture, with memory of its own."""
        layout = _LAYOUTS[VideoBufferType(type)]
        if layout == "yuv420p":
            data = bytearray(picture.data)
        else:
            data = bytearray(
                pixels.convert(picture.data, picture.width, picture.height, "yuv420p", layout)
            )
        return cls(picture.width, picture.height, type, data)

    def to_picture(self, rotation: int = 0) -> Picture:
        """Return an I420 copy that later writes to this frame do not touch."""
        layout = _LAYOUTS[self._type]
        size = pixels.size_bytes(layout, self._width, self._height)
        if len(memoryview(self._data).cast("B")) < size:
            raise ValueError(f"data is too short for {self._width}x{self._height} {layout}")
        if layout == "yuv420p":
            data = np.frombuffer(self._data, dtype=np.uint8, count=size).copy()
        else:
            data = pixels.convert(self._data, self._width, self._height, layout, "yuv420p")
        return Picture(self._width, self._height, data, rotation)

    @property
    def width(self) -> int:
        """Columns."""
        return self._width

    @property
    def height(self) -> int:
        """Rows."""
        return self._height

    @property
    def type(self) -> VideoBufferType:
        """The layout."""
        return self._type

    @property
    def data(self) -> memoryview:
        """The pixels."""
        return memoryview(self._data)

    def get_plane(self, plane_nth: int) -> memoryview | None:
        """Return one plane of a planar layout, or None where there is no such plane."""
        shapes = pixels.plane_shapes(_LAYOUTS[self._type], self._width, self._height)
        # The SDK knows no planes of packed layouts.
        if len(shapes) == 1 or not 0 <= plane_nth < len(shapes):
            return None
        start = sum(stride * rows for stride, rows in shapes[:plane_nth])
        stride, rows = shapes[plane_nth]
        return memoryview(self._data).cast("B")[start : start + stride * rows]

    def convert(self, type: VideoBufferType | int, *, flip_y: bool = False) -> VideoFrame:
        """Return the picture in another layout, optionally upside down."""
        target = VideoBufferType(type)
        data = pixels.convert(
            self._data,
            self._width,
            self._height,
            _LAYOUTS[self._type],
            _LAYOUTS[target],
            flip_y=flip_y,
        )
        return VideoFrame(self._width, self._height, target, bytearray(data))

    def __repr__(self) -> str:
        return f"rtc.VideoFrame(width={self.width}, height={self.height}, type={self.type.name})"
