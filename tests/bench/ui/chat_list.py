"""What the chat costs on the Qt thread with 2,000 messages: `python -m tests.bench.ui.chat_list`.

Own CPU time of the Qt thread in milliseconds. A frame has 16.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtWidgets import QApplication

from app.engine.events import ChatHistoryReceived, ChatReceived, Event
from app.ui.chat.panel import ChatPanel
from app.ui.identity import make_application
from app.ui.theme import ThemeChoice, theme

MESSAGES = 2_000
START_MS = 1_700_000_000_000
WORDS = ("the", "beds", "are", "ready", "and", "https://seeds.example/spring", "today")


def message(number: int, rng: random.Random) -> ChatReceived:
    who = f"person-{rng.randrange(8)}"
    text = " ".join(rng.choices(WORDS, k=rng.randrange(1, 60)))
    return ChatReceived(f"m{number}", who, who.title(), text, START_MS + number * 20_000, False)


def spent_ms(work: Callable[[], object]) -> float:
    started_s = time.thread_time()
    work()
    QApplication.processEvents()
    return (time.thread_time() - started_s) * 1000


def summary(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {
        "p50": round(statistics.median(times), 2),
        "p99": round(ordered[int(len(ordered) * 0.99) - 1], 2),
        "max": round(ordered[-1], 2),
    }


def main() -> None:
    app = make_application()
    theme.apply_to(app, ThemeChoice.DARK)
    rng = random.Random(1)
    panel = ChatPanel()
    panel.resize(344, 676)
    panel.show()
    app.processEvents()

    def post(event: Event) -> float:
        return spent_ms(lambda: panel.handle(event))

    arrivals = [post(message(number, rng)) for number in range(MESSAGES)]
    text, growth = "", []
    for _ in range(100):
        text += "word and more "
        growing = replace(message(MESSAGES, random.Random(2)), text=text, growing=True)
        growth.append(post(growing))
    bar = panel.list.verticalScrollBar()
    scrolls = []
    for step in range(200):
        value = bar.maximum() * step // 200
        scrolls.append(spent_ms(lambda value=value: bar.setValue(value)))  # type: ignore[misc]
    width = spent_ms(lambda: panel.resize(500, 676))
    old = tuple(replace(message(-1 - n, rng), is_old=True) for n in range(500))
    history = post(ChatHistoryReceived(old))
    print(
        json.dumps(
            {
                "arrival, first 100": summary(arrivals[:100]),
                "arrival, last 100": summary(arrivals[-100:]),
                "growth": summary(growth),
                "scroll": summary(scrolls),
                "new width": round(width, 1),
                "history of 500": round(history, 1),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
