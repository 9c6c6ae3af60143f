from __future__ import annotations

from app.engine.events import LevelChanged
from app.engine.outbox import Outbox


def test_one_wake_up_until_the_events_are_taken() -> None:
    outbox = Outbox()
    wakes: list[int] = []
    outbox.on_ready = lambda: wakes.append(1)
    sent = [LevelChanged(level) for level in (0.1, 0.2, 0.3)]

    for event in sent:
        outbox.post(event)

    assert (len(wakes), outbox.take()) == (1, sent)
    assert outbox.take() == []
    outbox.post(sent[0])
    assert len(wakes) == 2
