"""Receiver state: loss, jitter, NACKs."""

from __future__ import annotations

from app.sfu.reception import Reception


def receive(reception: Reception, *seqs: int, now_s: float = 0.0) -> list[int]:
    return [reception.handle_packet(seq & 0xFFFF, 0, now_s) for seq in seqs]


def test_numbers_are_unwrapped_across_the_end() -> None:
    reception = Reception(90_000)
    first, second, third = receive(reception, 65_535, 0, 1)
    assert (second - first, third - first) == (1, 2)


def test_a_duplicate_is_told() -> None:
    reception = Reception(90_000)
    assert receive(reception, 5, 6, 5)[2] == -1
    assert reception.duplicates == 1


def test_a_packet_before_the_first_one_counts() -> None:
    reception = Reception(90_000)
    first, earlier = receive(reception, 0, 65_535)
    assert earlier == first - 1


def test_a_hole_is_asked_for_after_a_moment_and_again_until_it_is_filled() -> None:
    reception = Reception(90_000)
    receive(reception, 1, 2, 5)
    assert reception.has_holes
    assert reception.due_nacks(0.005) == []
    assert [n & 0xFFFF for n in reception.due_nacks(0.011)] == [3, 4]
    assert reception.due_nacks(0.05) == []
    receive(reception, 3)
    assert [n & 0xFFFF for n in reception.due_nacks(0.2)] == [4]
    receive(reception, 4)
    assert not reception.has_holes


def test_a_hole_is_given_up_after_ten_tries() -> None:
    reception = Reception(90_000)
    receive(reception, 1, 3)
    asked = sum(bool(reception.due_nacks(0.2 * i)) for i in range(1, 30))
    assert asked == 10
    assert not reception.has_holes


def test_a_jump_is_a_new_start_and_no_hole() -> None:
    reception = Reception(90_000)
    receive(reception, 1, 5_000)
    assert not reception.has_holes


def test_the_report_counts_loss_since_the_one_before() -> None:
    reception = Reception(90_000)
    assert reception.take_report(0) is None
    receive(reception, *range(0, 100, 2), 99)
    report = reception.take_report(1)
    assert report is not None
    assert report.cumulative_lost == 49
    assert report.fraction_lost == 49 * 256 // 100
    assert report.highest_ext_seq == 99
    receive(reception, *range(100, 200))
    later = reception.take_report(2)
    assert later is not None
    assert (later.fraction_lost, later.cumulative_lost) == (0, 49)


def test_jitter_follows_arrival_times() -> None:
    steady, shaky = Reception(90_000), Reception(90_000)
    for i in range(100):
        steady.handle_packet(i, i * 900, i * 0.010)
        shaky.handle_packet(i, i * 900, i * 0.010 + 0.005 * (i % 2))
    calm, nervous = steady.take_report(1), shaky.take_report(1)
    assert calm is not None
    assert nervous is not None
    assert calm.jitter == 0
    assert 300 < nervous.jitter <= 450


def test_the_newest_sender_report_is_echoed_with_its_age() -> None:
    reception = Reception(48_000)
    receive(reception, 1)
    reception.handle_sender_report(0x12345678, 10.0)
    report = reception.take_report(10.5)
    assert report is not None
    assert (report.last_sr, report.delay_since_last_sr) == (0x12345678, 32_768)
