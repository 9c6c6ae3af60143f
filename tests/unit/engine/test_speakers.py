from __future__ import annotations

from app.engine.speakers import Speakers


def test_the_loudest_comes_first_and_silence_takes_one_out() -> None:
    speakers = Speakers()
    assert not speakers.handle("ada", 0.2)
    assert not speakers.handle("bo", 0.7)
    assert speakers.loudest_first == ["bo", "ada"]

    assert speakers.handle("ada", 0.9)
    assert speakers.loudest_first == ["ada", "bo"]

    assert speakers.handle("ada", None)
    assert not speakers.handle("ada", None)
    assert speakers.loudest_first == ["bo"]
