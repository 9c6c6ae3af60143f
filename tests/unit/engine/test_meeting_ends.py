from __future__ import annotations

import pytest

from app.engine.enums import DisconnectReason
from app.engine.events import EndCause
from app.engine.meeting import end_cause


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        (DisconnectReason.CLIENT_INITIATED, EndCause.LEFT),
        (DisconnectReason.DUPLICATE_IDENTITY, EndCause.DUPLICATE),
        (DisconnectReason.PARTICIPANT_REMOVED, EndCause.REMOVED),
        (DisconnectReason.ROOM_DELETED, EndCause.ENDED),
        (DisconnectReason.ROOM_CLOSED, EndCause.ENDED),
        (DisconnectReason.SERVER_SHUTDOWN, EndCause.HOST_STOPPED),
        (DisconnectReason.SIGNAL_CLOSE, EndCause.LOST),
        (DisconnectReason.STATE_MISMATCH, EndCause.LOST),
        (DisconnectReason.MEDIA_FAILURE, EndCause.LOST),
        (DisconnectReason.CONNECTION_TIMEOUT, EndCause.LOST),
        (DisconnectReason.UNKNOWN_REASON, EndCause.LOST),
        (4711, EndCause.LOST),
    ],
)
def test_each_reason_of_the_server_means_one_ending(reason: int, cause: EndCause) -> None:
    assert end_cause(reason) is cause
