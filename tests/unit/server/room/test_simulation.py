from __future__ import annotations

from app.server.room.simulation import FAULT_LIFETIME_S, ResumeFault, SimulatedResumes


def test_one_resume_is_cut_after_its_answer_or_three_without_a_word() -> None:
    faults = SimulatedResumes()
    assert faults.take(0.0) is ResumeFault.NONE
    faults.arm(ResumeFault.CUT_AFTERWARDS, 0.0)
    assert [faults.take(1.0) for _ in range(2)] == [ResumeFault.CUT_AFTERWARDS, ResumeFault.NONE]
    faults.arm(ResumeFault.CUT_AT_ONCE, 0.0)
    taken = [faults.take(1.0) for _ in range(4)]
    assert taken == [ResumeFault.CUT_AT_ONCE] * 3 + [ResumeFault.NONE]


def test_a_fault_that_nobody_met_is_forgotten() -> None:
    faults = SimulatedResumes()
    faults.arm(ResumeFault.CUT_AFTERWARDS, 0.0)
    assert faults.take(FAULT_LIFETIME_S) is ResumeFault.NONE
