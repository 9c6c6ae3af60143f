"""Trouble that a client asks for, to see whether it copes: the `simulate` request."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

FAULT_LIFETIME_S = 10.0
SILENT_RESUMES = 3
MAX_SPEAKING_S = 60.0


class ResumeFault(Enum):
    """What goes wrong with the next resume."""

    NONE = "none"
    CUT_AFTERWARDS = "the socket closes after the answer"
    CUT_AT_ONCE = "the socket closes without a word"


@dataclass
class SimulatedResumes:
    """Resumes that shall fail, for a moment and a few times only."""

    _fault: ResumeFault = ResumeFault.NONE
    _left: int = 0
    _until_s: float = 0.0

    def arm(self, fault: ResumeFault, now_s: float) -> None:
        """Let the next resume fail; without a word, the next three."""
        self._fault = fault
        self._left = SILENT_RESUMES if fault is ResumeFault.CUT_AT_ONCE else 1
        self._until_s = now_s + FAULT_LIFETIME_S

    def take(self, now_s: float) -> ResumeFault:
        """Return what shall happen to the resume that begins now."""
        if self._left <= 0 or now_s >= self._until_s:
            return ResumeFault.NONE
        self._left -= 1
        return self._fault
