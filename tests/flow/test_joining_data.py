"""Reliable data for somebody who is just coming in: nothing is missing, nothing comes twice."""

from __future__ import annotations

import asyncio

from livekit.protocol import models as lk_models

from app.runtime.tasks import TaskOwner
from tests.support.session_room import eventually, joined, serving


def packet(text: str, *, to: tuple[str, ...] = ()) -> lk_models.DataPacket:
    return lk_models.DataPacket(
        user=lk_models.UserPacket(payload=text.encode()), destination_identities=to
    )


async def test_a_newcomer_gets_what_was_sent_since_it_was_seen_in_order_and_once() -> None:
    owner = TaskOwner("talker")
    sent = 0
    async with serving() as server, joined(server.url, "ada") as (ada, heard):

        async def talk() -> None:
            nonlocal sent
            while True:
                sent += 1
                await ada.send_data(packet(f"all {sent}"), reliable=True)
                await ada.send_data(packet(f"other {sent}", to=("carol",)), reliable=True)
                await ada.send_data(packet(f"bob {sent}", to=("bob", "carol")), reliable=True)
                # Without a number, as some clients and every server send it.
                bare = packet(f"bare {sent}")
                assert ada._connection is not None
                ada._connection.send_message("_reliable", bare.SerializeToString())
                await asyncio.sleep(0.001)

        talking = owner.spawn(talk(), name="talk")
        await eventually(lambda: sent > 20)
        async with joined(server.url, "bob") as (_, bob):
            await eventually(lambda: "bob" in heard.participants)
            known_at = sent
            await eventually(lambda: sent > known_at + 50)
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)
            await ada.send_data(packet("end"), reliable=True)
            await eventually(lambda: bob.data and bob.data[-1][0].user.payload == b"end")

            texts = [p.user.payload.decode() for p, _ in bob.data][:-1]
            first = int(texts[0].split()[1])
            assert first <= known_at + 1
            whole = texts[texts.index(f"all {first + 1}") :]
            kinds = ("all", "bob", "bare")
            expected = [
                f"{kind} {number}" for number in range(first + 1, sent + 1) for kind in kinds
            ]
            assert whole == expected[: len(whole)]
            assert len(expected) - len(whole) < len(kinds)
    await owner.close()
