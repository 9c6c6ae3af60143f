"""Offsets of one subscriber at a switch."""

from __future__ import annotations

from app.sfu.munger import Offsets, Place, Spans, mapped_timestamp, offsets_after


def test_the_first_packet_needs_no_offsets() -> None:
    assert offsets_after(None, Place(5, 6, 7, 8), None).are_zero


def test_a_switch_goes_on_by_one_everywhere() -> None:
    last, first = Place(1000, 90_000, 0x7FFF, 255), Place(20, 5, 17, 3)
    offsets = offsets_after(last, first, 93_000)
    assert offsets.apply(first) == Place(1001, 93_000, 0, 0)
    assert not offsets.are_zero


def test_time_never_runs_backwards() -> None:
    last, first = Place(1, 90_000), Place(1, 5)
    assert offsets_after(last, first, 80_000).apply(first).ts_rtp == 90_001


def test_missing_picture_ids_stay_missing() -> None:
    offsets = offsets_after(Place(1, 2, 3, 4), Place(9, 9), 100)
    assert offsets.apply(Place(9, 9)) == Place(2, 100, -1, -1)


def test_offsets_that_wrap_to_nothing_are_zero() -> None:
    assert Offsets(65_536, 1 << 32, 32_768, 256).are_zero


def test_old_packets_keep_the_offsets_of_their_time() -> None:
    spans = Spans()
    one, two = Offsets(seq=1), Offsets(seq=2)
    spans.start(100, "low", one)
    spans.start(200, "high", two)
    assert spans.find(150) == ("low", one)
    assert spans.find(200) == ("high", two)
    assert spans.find(99) is None


def test_only_the_newest_spans_are_remembered() -> None:
    spans = Spans()
    for i in range(20):
        spans.start(i * 10, i, Offsets())
    assert spans.find(5) is None
    assert spans.find(199) == (19, Offsets())


def test_timestamps_of_layers_meet_by_their_sender_reports() -> None:
    second = 1 << 32
    source, reference = (10 * second, 1000), (9 * second, 500_000)
    # Half a second after the source's report is one and a half after the reference's.
    assert mapped_timestamp(1000 + 45_000, 90_000, source, reference) == 500_000 + 135_000
    assert mapped_timestamp(1, 90_000, None, reference) is None
    assert mapped_timestamp(1, 90_000, source, None) is None
