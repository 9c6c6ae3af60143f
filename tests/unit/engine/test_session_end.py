from __future__ import annotations

from livekit.protocol import models, rtc

from app.engine.room import Room
from app.engine.session import Session


async def test_what_the_server_says_while_we_leave_changes_nothing() -> None:
    room = Room()
    session = Session(room)
    await session.close()
    track = models.TrackInfo(sid="TR_1", name="late")
    person = models.ParticipantInfo(sid="PA_1", identity="late", tracks=[track])
    packet = models.DataPacket(participant_identity="late", user=models.UserPacket(payload=b"x"))

    session.on_signal("update", rtc.ParticipantUpdate(participants=[person]))
    session.on_message("_reliable", packet.SerializeToString())

    assert room.remote_participants == {}
