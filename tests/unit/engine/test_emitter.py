"""Events reach their handlers by the SDK's rules."""

from __future__ import annotations

import pytest
import structlog.testing

from app.engine import rtc


def test_handlers_run_in_order_with_as_many_arguments_as_they_take() -> None:
    emitter = rtc.EventEmitter[str]()
    calls: list[object] = []
    emitter.on("e", lambda: calls.append("none"))
    emitter.on("e", lambda a: calls.append(a))
    emitter.on("e", lambda *args: calls.append(args))
    emitter.on("e", calls.append)

    emitter.emit("e", 1, 2)

    assert calls == ["none", 1, (1, 2), 1]


def test_once_is_once_and_off_is_off() -> None:
    emitter = rtc.EventEmitter[str]()
    calls: list[str] = []

    @emitter.once("e")
    def first(value: str) -> None:
        calls.append(f"once {value}")

    @emitter.on("e")
    def second(value: str) -> None:
        calls.append(f"on {value}")

    emitter.emit("e", "1")
    emitter.off("e", second)
    emitter.off("e", second)
    emitter.off("unknown", second)
    emitter.emit("e", "2")

    assert calls == ["once 1", "on 1"]


def test_a_handler_that_fails_is_logged_and_the_next_one_runs() -> None:
    emitter = rtc.EventEmitter[str]()
    calls: list[int] = []

    def fail(_: int) -> None:
        raise ValueError

    emitter.on("e", fail)
    emitter.on("e", calls.append)
    with structlog.testing.capture_logs() as logs:
        emitter.emit("e", 1)

    assert calls == [1]
    assert [entry["event"] for entry in logs] == ["event handler failed"]


def test_an_async_handler_is_refused() -> None:
    async def handler() -> None:
        return

    with pytest.raises(ValueError, match="async"):
        rtc.EventEmitter[str]().on("e", handler)


def test_a_handler_that_cannot_be_called_is_the_callers_error() -> None:
    emitter = rtc.EventEmitter[str]()
    emitter.on("e", lambda a, b, c: None)

    with pytest.raises(TypeError):
        emitter.emit("e", 1)
