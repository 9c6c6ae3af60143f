"""Tasks belong to an owner that keeps, cancels and awaits them."""

from __future__ import annotations

import asyncio

import pytest
import structlog.testing

from app.runtime.tasks import TaskOwner, spawn


async def test_close_cancels_and_awaits_every_task() -> None:
    owner = TaskOwner("room")
    task = spawn(asyncio.Event().wait(), name="forever", owner=owner)

    await owner.close()

    assert task.cancelled()


async def test_a_closed_owner_refuses_new_tasks() -> None:
    owner = TaskOwner("room")
    await owner.close()

    with pytest.raises(RuntimeError, match="room is closed"):
        spawn(asyncio.Event().wait(), name="late", owner=owner)


async def test_a_failure_is_logged_once_with_its_task() -> None:
    async def fail() -> None:
        raise ValueError("broken")

    owner = TaskOwner("room")
    with structlog.testing.capture_logs() as logs:
        task = spawn(fail(), name="work", owner=owner)
        await asyncio.wait([task])
        await owner.close()

    assert [entry["task"] for entry in logs] == ["room/work"]
    assert isinstance(logs[0]["exc_info"], ValueError)


async def test_an_owner_can_close_from_its_own_task() -> None:
    owner = TaskOwner("room")

    async def close_myself() -> str:
        await owner.close()
        return "closed"

    assert await spawn(close_myself(), name="closer", owner=owner) == "closed"
