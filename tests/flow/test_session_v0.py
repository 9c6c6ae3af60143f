"""The engine's v0 path against what livekit-server said in the recorded run.

The recordings are of our engine with livekit-server 1.13.5 behind a proxy that answers 404 on the
v1 path. There is no media behind the replay, so `connect` itself does not complete.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from livekit.protocol import models as lk_models
from livekit.protocol import rtc as lk_rtc

from app.engine.session import LayerParameters, Session
from app.protocol.sdp import parse_sdp
from tests.support.recorded_server import RecordedServer
from tests.support.session_room import Witness, eventually


@asynccontextmanager
async def joining(server: RecordedServer) -> AsyncIterator[tuple[Session, Witness]]:
    """A session for as long as the recorded call lasts."""
    witness = Witness()
    session = Session(witness)  # type: ignore[arg-type]  # answers to every name
    connecting = asyncio.get_running_loop().create_task(session.connect(server.url, "token"))
    await eventually(lambda: witness.count("on_joined") == 1)
    yield session, witness
    connecting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await connecting
    await session.close()


async def test_the_subscriber_of_the_recorded_call_gets_and_loses_the_same_tracks() -> None:
    async with RecordedServer("engine_v0.bob.jsonl") as server, joining(server) as (bob, witness):
        off, on = (
            lk_rtc.SignalRequest.FromString(record.raw).subscription
            for record in server.sent_by_client("subscription")
        )
        await eventually(lambda: witness.count("on_track") == 2)
        camera_of = off.participant_tracks[0]
        bob.set_subscribed(camera_of.participant_sid, list(camera_of.track_sids), False)
        await eventually(lambda: witness.count("on_track_removed") == 1)
        bob.set_subscribed(camera_of.participant_sid, list(camera_of.track_sids), True)
        await eventually(lambda: witness.count("on_track_removed") == 4)

        updates = [request.subscription for request in server.received_of("subscription")]
        assert updates == [off, on]
        assert server.paths[0] == "/rtc/v1"
        assert server.paths[-1] == "/rtc"
        story = [
            (name, args[-1])
            for name, args in witness.events
            if name in ("on_track", "on_track_removed")
        ]
        microphone, camera = (
            next(sid for name, sid in story if sid.startswith(kind)) for kind in ("TR_AM", "TR_VC")
        )
        screen = next(sid for _, sid in story if sid.startswith("TR_VS"))
        assert story == [
            ("on_track", microphone),
            ("on_track", camera),
            ("on_track_removed", camera),
            ("on_track", camera),
            ("on_track_removed", camera),
            ("on_track", screen),
            ("on_track_removed", microphone),
            ("on_track_removed", screen),
        ]
        # A track is gone before the answer that says so has arrived.
        recorded = server.sent_by_client("answer")
        await eventually(lambda: len(server.received_of("answer")) >= len(recorded))
        answers = [request.answer for request in server.received_of("answer")]
        assert len(answers) == len(recorded)
        for ours, record in zip(answers, recorded, strict=True):
            then = lk_rtc.SignalRequest.FromString(record.raw).answer
            assert ours.id == then.id
            assert _shape(ours.sdp) == _shape(then.sdp)


async def test_the_publisher_of_the_recorded_call_is_accepted_again() -> None:
    async with RecordedServer("engine_v0.alice.jsonl") as server, joining(server) as (ada, _):
        requests = [
            lk_rtc.SignalRequest.FromString(record.raw).add_track
            for record in server.sent_by_client("add_track")
        ]
        await eventually(lambda: server.received)
        layers = {"cam": [LayerParameters("q"), LayerParameters("h")]}
        sids = {}
        for request in requests[:2]:
            async with asyncio.timeout(30):
                track, _sender = await ada.publish(
                    request,
                    codec="opus" if request.type == lk_models.AUDIO else "VP8",
                    layers=layers.get(request.name, []),
                )
            sids[request.name] = track.sid
        ada.set_muted(sids["mic"], True)
        ada.set_muted(sids["mic"], False)
        update = lk_rtc.SignalRequest.FromString(
            server.sent_by_client("update_metadata")[0].raw
        ).update_metadata
        await ada.update_metadata(attributes=dict(update.attributes))
        await ada.unpublish(sids["cam"])
        screen, _sender = await ada.publish(requests[2], codec="VP8")

        assert screen.sid.startswith("TR_VS")
        offers = [request.offer.sdp for request in server.received_of("offer")]
        recorded = [
            lk_rtc.SignalRequest.FromString(record.raw).offer.sdp
            for record in server.sent_by_client("offer")
        ]
        assert [_shape(sdp) for sdp in offers] == [_shape(sdp) for sdp in recorded]


def _shape(sdp: str) -> list[tuple[object, ...]]:
    """What has to be the same in every run: all but credentials, candidates and SSRCs."""
    return [
        (
            media.kind,
            media.mid,
            media.direction,
            media.setup,
            media.codecs,
            media.extensions,
            media.rids,
            media.simulcast,
            len(media.ssrcs),
            media.msid,
        )
        for media in parse_sdp(sdp).media
    ]
