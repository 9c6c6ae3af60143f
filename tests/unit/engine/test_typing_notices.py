from __future__ import annotations

import pytest

from app.engine.typing_notices import (
    EXPIRE_S,
    MAX_PEOPLE,
    OFF,
    ON,
    REPEAT_S,
    TypingBoard,
    TypingSender,
    parse_notice,
)
from app.protocol.errors import ProtocolError


def test_many_keys_are_one_notice_until_it_must_be_repeated() -> None:
    sender = TypingSender()

    assert sender.handle_typing((), 0.0) == [(ON, ())]
    assert sender.handle_typing((), REPEAT_S - 0.1) == []
    assert sender.handle_typing((), REPEAT_S) == [(ON, ())]
    assert sender.handle_stop() == [(OFF, ())]
    assert sender.handle_stop() == []


def test_another_receiver_is_told_and_the_old_one_too() -> None:
    sender = TypingSender()
    sender.handle_typing((), 0.0)

    assert sender.handle_typing(("bo",), 0.1) == [(OFF, ()), (ON, ("bo",))]


def test_silence_means_that_somebody_stopped() -> None:
    board = TypingBoard()
    assert board.handle_notice("ada", True, 0.0)
    assert board.handle_notice("bo", True, 1.0)
    assert not board.handle_notice("ada", True, 2.0)
    assert board.people == ("ada", "bo")
    assert board.deadline_s == 1.0 + EXPIRE_S

    assert board.handle_deadline(1.0 + EXPIRE_S)
    assert board.people == ("ada",)
    assert board.handle_notice("ada", False, 3.0)
    assert not board.handle_gone("ada")
    assert board.deadline_s is None


def test_a_crowd_is_bounded() -> None:
    board = TypingBoard()
    for number in range(MAX_PEOPLE + 5):
        board.handle_notice(str(number), True, 0.0)

    assert len(board.people) == MAX_PEOPLE


@pytest.mark.parametrize("payload", [b"", b"2", b"on", b"1" * 100])
def test_an_unknown_notice_is_refused(payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_notice(payload)
