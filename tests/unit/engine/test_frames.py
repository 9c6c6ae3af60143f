"""Frames of sound and pictures, their shapes and conversions."""

from __future__ import annotations

import io
import wave

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.engine import rtc
from app.media import pixels

TYPES = list(rtc.VideoBufferType)


def gradient(width: int, height: int) -> rtc.VideoFrame:
    rgba = np.full((height, width, 4), 255, np.uint8)
    rgba[:, :, 0] = np.linspace(0, 255, width)[None, :]
    rgba[:, :, 1] = np.linspace(255, 0, height)[:, None]
    rgba[:, :, 2] = 90
    return rtc.VideoFrame(width, height, rtc.VideoBufferType.RGBA, rgba.tobytes())


def as_rgb(frame: rtc.VideoFrame) -> np.ndarray:
    rgb = frame.convert(rtc.VideoBufferType.RGB24)
    flat = np.frombuffer(rgb.data, np.uint8)
    return flat.reshape(frame.height, frame.width, 3).astype(int)


@pytest.mark.parametrize("target", TYPES)
def test_a_picture_survives_every_format_and_back(target: rtc.VideoBufferType) -> None:
    original = gradient(64, 36)

    there = original.convert(target)
    difference = np.abs(as_rgb(there) - as_rgb(original))

    assert (there.width, there.height, there.type) == (64, 36, target)
    # Chroma at half size blurs this steep a gradient by a few steps.
    assert difference.mean() < 4
    assert difference.max() < 24


@pytest.mark.parametrize("target", TYPES)
def test_flipping_turns_the_picture_upside_down(target: rtc.VideoBufferType) -> None:
    original = gradient(64, 36)

    flipped = original.convert(target, flip_y=True)

    assert np.abs(as_rgb(flipped) - as_rgb(original)[::-1]).mean() < 4


@given(st.integers(1, 70), st.integers(1, 9), st.sampled_from(TYPES), st.sampled_from(TYPES))
def test_one_colour_stays_one_colour_at_every_size(
    width: int, height: int, source: rtc.VideoBufferType, target: rtc.VideoBufferType
) -> None:
    rgba = bytes([120, 120, 120, 255]) * (width * height)
    frame = rtc.VideoFrame(width, height, rtc.VideoBufferType.RGBA, rgba)

    rgb = as_rgb(frame.convert(source).convert(target))

    assert np.abs(rgb - 120).max() <= 4


def test_bytes_lie_in_the_order_of_the_name() -> None:
    pixel = rtc.VideoFrame(2, 2, rtc.VideoBufferType.RGBA, bytes([10, 20, 30, 255]) * 4)

    orders = {
        name: bytes(pixel.convert(rtc.VideoBufferType.Value(name)).data[:size])
        for name, size in (("RGBA", 4), ("BGRA", 4), ("ABGR", 4), ("ARGB", 4), ("RGB24", 3))
    }

    assert orders == {
        "RGBA": bytes([10, 20, 30, 255]),
        "BGRA": bytes([30, 20, 10, 255]),
        "ABGR": bytes([255, 30, 20, 10]),
        "ARGB": bytes([255, 10, 20, 30]),
        "RGB24": bytes([10, 20, 30]),
    }


def test_planes_of_planar_formats_can_be_looked_at() -> None:
    i420 = gradient(6, 4).convert(rtc.VideoBufferType.I420)
    planes = [i420.get_plane(n) for n in range(4)]

    assert [None if p is None else len(p) for p in planes] == [24, 6, 6, None]
    assert planes[0] is not None
    planes[0][0] = 77
    assert i420.data[0] == 77
    assert gradient(6, 4).get_plane(0) is None
    nv12 = i420.convert(rtc.VideoBufferType.NV12)
    assert [len(nv12.get_plane(n) or b"") for n in range(3)] == [24, 12, 0]


def test_too_few_pixels_are_refused() -> None:
    frame = rtc.VideoFrame(64, 36, rtc.VideoBufferType.RGBA, bytes(100))

    with pytest.raises(ValueError, match="64x36"):
        frame.convert(rtc.VideoBufferType.I420)
    with pytest.raises(ValueError, match="64x36"):
        rtc.VideoFrame(64, 36, rtc.VideoBufferType.I420, bytes(100)).to_picture()


def test_a_captured_picture_does_not_change_with_its_frame() -> None:
    data = bytearray(pixels.size_bytes("yuv420p", 8, 8))
    frame = rtc.VideoFrame(8, 8, rtc.VideoBufferType.I420, data)

    picture = frame.to_picture()
    data[:] = b"\xff" * len(data)

    assert not picture.data.any()


def test_sound_knows_its_length_and_samples() -> None:
    samples = np.arange(960, dtype=np.int16)
    frame = rtc.AudioFrame(samples.tobytes(), 48_000, 2, 480)

    assert frame.duration == 0.01
    assert frame.data[:3].tolist() == [0, 1, 2]
    assert frame.to_pcm().shape == (480, 2)
    assert rtc.AudioFrame.create(16_000, 1, 160).data.tolist() == [0] * 160
    assert "duration=0.010" in repr(frame)
    assert rtc.AudioFrame(b"\0\0", 48_000, 1, 1, userdata={"k": 1}).userdata == {"k": 1}


def test_sound_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(ValueError, match="data length must be >="):
        rtc.AudioFrame(b"\0\0", 48_000, 1, 2)
    with pytest.raises(ValueError, match="multiple"):
        rtc.AudioFrame(b"\0\0\0", 48_000, 1, 1)


def test_a_wav_file_holds_the_samples() -> None:
    samples = np.arange(160, dtype=np.int16)

    with wave.open(
        io.BytesIO(rtc.AudioFrame(samples.tobytes(), 16_000, 1, 160).to_wav_bytes())
    ) as wav:
        assert (wav.getframerate(), wav.getnchannels(), wav.getnframes()) == (16_000, 1, 160)
        assert wav.readframes(160) == samples.tobytes()


def test_frames_are_joined_and_mismatches_refused() -> None:
    one = rtc.AudioFrame(np.array([1, 2], np.int16).tobytes(), 48_000, 1, 2)
    two = rtc.AudioFrame(np.array([3], np.int16).tobytes(), 48_000, 1, 1)

    joined = rtc.combine_audio_frames([one, two])

    assert joined.data.tolist() == [1, 2, 3]
    assert joined.samples_per_channel == 3
    assert rtc.combine_audio_frames(one) is one
    with pytest.raises(ValueError, match="empty"):
        rtc.combine_audio_frames([])
    with pytest.raises(ValueError, match="Sample rate"):
        rtc.combine_audio_frames([one, rtc.AudioFrame.create(16_000, 1, 1)])
    with pytest.raises(ValueError, match="Channel"):
        rtc.combine_audio_frames([one, rtc.AudioFrame.create(48_000, 2, 1)])
