"""Voices stay whole over bad links."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.media.decode import opus
from app.media.decode.audio import CAPACITY_PACKETS, AudioReceiveStream
from app.media.decode.opus import PyAvOpusDecoder
from app.media.encode.audio import OpusEncoder
from app.media.frames import SAMPLE_RATE_HZ
from app.protocol.rtp.encoded import AudioPacket
from tests.support.link import BURSTY, CAFE_WIFI, PERFECT
from tests.support.signals import level_db, tone_peak
from tests.support.voices import listen, steady_tone, voice_like

SECOND = SAMPLE_RATE_HZ


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_tone_crosses_a_cafe_network_whole_and_in_time(seed: int) -> None:
    heard = listen(steady_tone(20), CAFE_WIFI, seed)

    assert tone_peak(heard.pcm[5 * SECOND : 15 * SECOND]).is_tone(440)
    assert heard.lost_share > 0.01
    assert heard.stats.concealed_ratio <= 0.05
    assert 0 < heard.stats.delay_ms <= 200


def test_sound_is_played_as_late_as_the_stats_say() -> None:
    # A click each second; measured is when it comes out, which includes Opus's own 6.5 ms.
    sound = np.zeros((20 * SECOND, 1), np.int16)
    sound += np.random.default_rng(0).normal(0, 60, sound.shape).astype(np.int16)
    for second in range(20):
        sound[second * SECOND : second * SECOND + 960] = 12_000
    heard = listen(sound, CAFE_WIFI, 4)

    delays_ms = []
    for second in range(5, 19):
        part = np.abs(heard.pcm[second * SECOND : second * SECOND + SECOND // 2, 0])
        delays_ms.append(int(np.argmax(part > 5_000)) / 48)

    network_ms = 1000 * CAFE_WIFI.delay_s
    assert np.median(delays_ms) <= 200
    assert np.median(delays_ms) == pytest.approx(network_ms + heard.stats.delay_ms + 6.5, abs=25)


def test_a_perfect_link_needs_no_concealment_and_little_delay() -> None:
    heard = listen(steady_tone(5), PERFECT, 1)

    assert heard.stats.concealed_samples == 0
    assert heard.stats.late == heard.stats.pauses == heard.stats.dropped == 0
    assert heard.stats.delay_ms <= 80


def test_the_copy_in_the_next_packet_replaces_a_lost_one() -> None:
    lossy = replace(CAFE_WIFI, loss=0.15)
    with_copies = listen(voice_like(20), lossy, 5)
    without = listen(voice_like(20), lossy, 5, fec=False)

    assert with_copies.stats.recovered_packets > 30
    assert without.stats.recovered_packets == 0
    assert with_copies.stats.concealed_ratio < 0.75 * without.stats.concealed_ratio


def test_without_libopus_lost_packets_are_still_concealed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(opus, "_libopus", lambda: None)
    heard = listen(steady_tone(10), replace(BURSTY, burst_packets=2, burst_start=0.02), 2)
    middle = heard.pcm[2 * SECOND : 9 * SECOND]

    assert tone_peak(middle).is_tone(440)
    assert heard.lost_share > 0.005
    assert 0 < heard.stats.concealed_ratio <= heard.lost_share + 0.01
    blocks = middle.reshape(-1, 480)
    # Concealed is not silent: only a burst of several packets may fade far.
    assert np.mean([level_db(block) < -30 for block in blocks]) < 0.01


def test_growing_jitter_raises_the_delay_and_calm_brings_it_down() -> None:
    wild = listen(steady_tone(20), replace(CAFE_WIFI, jitter_s=0.150), 6)
    calm = listen(steady_tone(20), replace(CAFE_WIFI, jitter_s=0.005), 6)

    assert wild.stats.delay_ms > 2 * calm.stats.delay_ms
    assert wild.stats.concealed_ratio <= 0.05


@pytest.mark.parametrize("clock_rate", [0.999, 1.001])
def test_a_device_with_another_clock_is_followed(clock_rate: float) -> None:
    heard = listen(steady_tone(30), PERFECT, 1, clock_rate=clock_rate)

    assert heard.stats.delay_ms <= 120
    assert heard.stats.concealed_ratio <= 0.01
    assert heard.stats.pauses == 0
    assert tone_peak(heard.pcm[5 * SECOND : 25 * SECOND]).is_tone(440)


def test_a_sender_that_pauses_is_silent_and_comes_back_at_once() -> None:
    # Muted from second 2 to second 6; the sequence numbers of those packets never existed.
    heard = listen(steady_tone(10), PERFECT, 1, is_sent=lambda n: not 100 <= n < 300)

    assert heard.stats.pauses == 1
    assert level_db(heard.pcm[3 * SECOND : 5 * SECOND]) < -80
    assert tone_peak(heard.pcm[7 * SECOND : 9 * SECOND]).is_tone(440)
    assert heard.stats.delay_ms <= 120


def _packets(count: int, *, seq: int = 0, ts: int = 0) -> list[tuple[int, int, bytes]]:
    encoder = OpusEncoder()
    sound = steady_tone(count / 50)
    return [
        (
            (seq + n) % 0x10000,
            (ts + n * 960) % (1 << 32),
            encoder.encode(sound[n * 960 : n * 960 + 960]),
        )
        for n in range(count)
    ]


def test_a_clock_that_stood_still_while_muted_does_not_delay_what_follows() -> None:
    stream = AudioReceiveStream()
    packets = _packets(200)
    now_s = 50.0
    for number, (seq, ts_rtp, payload) in enumerate(packets):
        if number == 100:
            now_s += 60  # a minute of silence that the timestamps do not know about
        stream.put(AudioPacket(seq, ts_rtp, payload, now_s))
        stream.pull(480, now_s)
        stream.pull(480, now_s + 0.01)
        now_s += 0.02

    assert stream.stats().delay_ms <= 120
    assert stream.stats().concealed_ratio < 0.1


def test_another_sender_behind_the_same_track_is_heard() -> None:
    stream = AudioReceiveStream()
    now_s = 50.0
    blocks = []
    for seq, ts_rtp, payload in _packets(50) + _packets(100, seq=30_000, ts=1 << 31):
        stream.put(AudioPacket(seq, ts_rtp, payload, now_s))
        blocks.append(stream.pull(960, now_s))
        now_s += 0.02

    assert tone_peak(np.concatenate(blocks[-50:])).is_tone(440)


def test_a_repeated_packet_is_played_once_and_a_late_one_never() -> None:
    stream = AudioReceiveStream()
    packets = _packets(30)
    now_s = 50.0
    for seq, ts_rtp, payload in packets:
        stream.put(AudioPacket(seq, ts_rtp, payload, now_s))
        stream.put(AudioPacket(seq, ts_rtp, payload, now_s))
        stream.pull(960, now_s)
        now_s += 0.02
    stream.put(AudioPacket(*packets[0], now_s))

    assert stream.stats().late + stream.stats().repeated == 31
    assert stream.stats().concealed_samples == 0


def test_a_stream_that_nobody_plays_stays_bounded() -> None:
    stream = AudioReceiveStream()
    for seq, ts_rtp, payload in _packets(CAPACITY_PACKETS + 40):
        stream.put(AudioPacket(seq, ts_rtp, payload, 50.0 + seq * 0.02))

    assert stream.stats().dropped == 40


def test_before_the_first_packet_there_is_silence_of_the_asked_length() -> None:
    stream = AudioReceiveStream(channels=2)

    block = stream.pull(480)

    assert block.shape == (480, 2)
    assert not block.any()
    assert stream.stats().concealed_samples == 0


def test_two_channels_stay_apart() -> None:
    encoder = OpusEncoder(channels=2, bitrate_bps=96_000)
    left, right = steady_tone(3, 440), steady_tone(3, 1_000)
    sound = np.concatenate((left, right), axis=1)
    stream = AudioReceiveStream(channels=2)
    blocks = []
    for n in range(150):
        payload = encoder.encode(np.ascontiguousarray(sound[n * 960 : n * 960 + 960]))
        stream.put(AudioPacket(n, n * 960, payload, 50.0 + n * 0.02))
        blocks.append(stream.pull(960, 50.0 + n * 0.02))
    heard = np.concatenate(blocks[50:])

    assert tone_peak(heard[:, 0]).is_tone(440)
    assert tone_peak(heard[:, 1]).is_tone(1_000)


packets = st.builds(
    AudioPacket,
    seq=st.integers(0, 0xFFFF),
    ts_rtp=st.integers(0, (1 << 32) - 1),
    payload=st.one_of(
        st.binary(max_size=64),
        st.sampled_from([payload for _, _, payload in _packets(3)]),
    ),
    arrival_s=st.floats(0, 100),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(packets, max_size=30))
def test_no_packet_of_a_peer_upsets_the_stream(given_packets: list[AudioPacket]) -> None:
    stream = AudioReceiveStream()
    for packet in given_packets:
        stream.put(packet)
        assert stream.pull(480, packet.arrival_s).shape == (480, 1)
    assert stream.pull(48_000, 101.0).shape == (48_000, 1)


def test_concealment_of_our_own_fades_to_silence() -> None:
    decoder = PyAvOpusDecoder(1)
    for _, _, payload in _packets(10):
        decoder.decode(payload)

    first, *_, last = [decoder.conceal(480) for _ in range(20)]

    assert level_db(first) > -20
    assert not last.any()
