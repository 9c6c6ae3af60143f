"""Both Opus decoders, and how long a packet says it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.media.decode.opus import (
    LibOpusDecoder,
    OpusDecoder,
    PyAvOpusDecoder,
    _libopus,
    open_decoder,
    packet_samples,
)
from app.media.encode.audio import OpusEncoder
from app.protocol.errors import ProtocolError
from tests.support.signals import tone_peak
from tests.support.voices import steady_tone, voice_like


def _decoders(channels: int) -> list[OpusDecoder]:
    library = _libopus()
    assert library is not None, "PyAV's wheel carries libopus"
    return [LibOpusDecoder(library, channels), PyAvOpusDecoder(channels)]


def test_libopus_is_found_beside_pyav() -> None:
    assert isinstance(open_decoder(1), LibOpusDecoder)


@pytest.mark.parametrize("channels", [1, 2])
def test_both_decoders_give_back_the_tone(channels: int) -> None:
    for decoder in _decoders(channels):
        encoder = OpusEncoder(channels=channels)
        sound = np.repeat(steady_tone(1), channels, axis=1)
        parts = [decoder.decode(encoder.encode(sound[n : n + 960])) for n in range(0, 48_000, 960)]

        assert all(part.shape[1] == channels for part in parts)
        assert tone_peak(np.concatenate(parts)[4_800:]).is_tone(440)


@given(st.binary(max_size=1_500))
def test_any_payload_has_a_length_or_is_refused(payload: bytes) -> None:
    try:
        samples = packet_samples(payload)
    except ProtocolError:
        return
    assert 0 < samples <= 5_760


@given(st.binary(max_size=400))
def test_any_payload_is_decoded_or_refused(payload: bytes) -> None:
    for decoder in _decoders(1):
        try:
            pcm = decoder.decode(payload)
        except ProtocolError:
            continue
        assert pcm.shape[1] == 1


def test_an_encoded_packet_is_20_ms_long() -> None:
    assert packet_samples(OpusEncoder().encode(steady_tone(0.02))) == 960


def test_a_recovered_packet_sounds_like_the_lost_one() -> None:
    encoder, sound = OpusEncoder(), voice_like(2)
    payloads = [encoder.encode(sound[n : n + 960]) for n in range(0, sound.shape[0], 960)]
    library = _libopus()
    assert library is not None
    whole, broken = LibOpusDecoder(library, 1), LibOpusDecoder(library, 1)
    likenesses = []
    for index, payload in enumerate(payloads[:-1]):
        original = whole.decode(payload)
        if index % 10 != 5:
            broken.decode(payload)
            continue
        recovered = broken.recover(payloads[index + 1], 960)
        if recovered is not None and np.abs(original).max() > 2_000:
            a, b = original[:, 0].astype(float), recovered[:, 0].astype(float)
            likenesses.append(float(a @ b) / float(np.sqrt((a @ a) * (b @ b))))

    assert likenesses
    assert np.median(likenesses) > 0.8
