"""How much of one person's writing is shown."""

from __future__ import annotations

import asyncio
import time

import pytest

from app.engine import chat_flood
from app.engine.chat import MAX_TEXT_CHARS
from app.engine.chat_flood import FloodGuard, Growth


def test_a_flood_guard_gives_new_lines_with_time() -> None:
    guard = FloodGuard()
    now_s = time.monotonic()
    assert sum(guard.allows("eve", now_s) for _ in range(500)) == 100
    assert sum(guard.allows("eve", now_s + 1.0) for _ in range(500)) == 10
    assert guard.dropped == 890


async def test_growing_text_is_shown_now_and_then_and_at_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chat_flood, "GROWTH_S", 0.01)
    shown: list[str] = []
    news = asyncio.Event()

    def show(text: str) -> None:
        shown.append(text)
        news.set()

    growth = Growth(show)
    growth.add("a")
    growth.add("b")
    assert shown == []
    async with asyncio.timeout(30):
        await news.wait()
    growth.add("c")
    growth.stop()

    assert shown == ["ab", "abc"]
    assert growth.add("x" * MAX_TEXT_CHARS)
    growth.stop()
