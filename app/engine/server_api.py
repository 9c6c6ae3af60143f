"""LiveKit's server API with one's own token: moderation is asked for like any client may ask.

Twirp in its JSON form. The token has to carry `roomAdmin` for the room (`roomCreate` to end it):
everybody else is refused by the server, not by us, and the refusal says why.
"""

from __future__ import annotations

from collections.abc import Mapping

from app.engine.door import open_session, send_request, text_of
from app.runtime.errors import Reason, WorldError

_REASONS = {
    "unauthenticated": Reason.DENIED,
    "permission_denied": Reason.DENIED,
    "failed_precondition": Reason.DENIED,
    "not_found": Reason.NOT_FOUND,
    "invalid_argument": Reason.TOO_LARGE,
    "deadline_exceeded": Reason.TIMEOUT,
}


def http_base(server_url: str) -> str:
    """Return the http(s) twin of a ws(s) address."""
    is_socket = server_url.startswith(("ws://", "wss://"))
    return ("http" + server_url.removeprefix("ws") if is_socket else server_url).rstrip("/")


async def call_room_service(
    server_url: str, token: str, method: str, request: Mapping[str, object]
) -> dict[str, object]:
    """Call a method of RoomService; raises `WorldError` when it is refused."""
    async with open_session() as session:
        status, body = await send_request(
            session,
            "POST",
            f"{http_base(server_url)}/twirp/livekit.RoomService/{method}",
            None,
            json=request,
            headers={"Authorization": f"Bearer {token}"},
        )
    if status == 200:
        return body
    code = text_of(body, "code")
    reason = _REASONS.get(code) or (Reason.DENIED if status in (401, 403) else Reason.REFUSED)
    raise WorldError(reason, retry=status >= 500, detail=f"{method}: {status} {code}".strip())


async def end_room(server_url: str, token: str, room: str) -> None:
    """End the meeting for everybody; a room that is gone has ended already."""
    try:
        await call_room_service(server_url, token, "DeleteRoom", {"room": room})
    except WorldError as error:
        if error.reason is not Reason.NOT_FOUND:
            raise
