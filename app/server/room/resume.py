"""How a session goes on over a new socket.

Same sid, same media: only the signalling is new. The order of the messages is the official
server's: `reconnect`, who left meanwhile, everybody, the room, a token; then what the client
waits for. The client answers with `sync_state` and an offer that restarts ICE.
"""

from __future__ import annotations

from livekit.protocol import models, rtc

from app.protocol.signal_server import server_info
from app.server.room.participant import Participant
from app.server.room.ports import SignalSink
from app.server.room.simulation import ResumeFault


def may_resume(participant: Participant | None, request: rtc.JoinRequest) -> bool:
    """Whether there is a session that this request may go on with.

    A session that has been replaced under the same identity must not be taken over by the one
    before it; a client that names none means whatever its identity has.
    """
    if participant is None or participant.is_closed or not participant.signal.can_resume:
        return False
    return request.participant_sid in ("", participant.sid)


def resume(
    participant: Participant,
    sink: SignalSink,
    *,
    visible: list[models.ParticipantInfo],
    room: models.Room,
    node_id: str,
    fault: ResumeFault = ResumeFault.NONE,
) -> None:
    """Go on over `sink`; `visible` is everybody whom the others in the room see."""
    if fault is ResumeFault.CUT_AT_ONCE:
        sink.close()
        return
    owed = participant.signal.swap(sink)
    participant.subscriber.hold()
    participant.send(
        rtc.SignalResponse(
            reconnect=rtc.ReconnectResponse(
                server_info=server_info(node_id),
                last_message_seq=participant.data_sender.last_sequence,
            )
        )
    )
    departed = participant.signal.departed({info.identity for info in visible})
    if departed:
        _send_update(participant, departed)
    if participant.is_hidden:
        visible = [*visible, participant.snapshot()]
    _send_update(participant, visible)
    participant.send(rtc.SignalResponse(room_update=rtc.RoomUpdate(room=room)))
    participant.send_token()
    for response in owed:
        participant.send(response)
    if fault is ResumeFault.CUT_AFTERWARDS:
        participant.signal.drop()


def _send_update(participant: Participant, people: list[models.ParticipantInfo]) -> None:
    participant.send(rtc.SignalResponse(update=rtc.ParticipantUpdate(participants=people)))
