"""The host's side of Lanai's door, from outside: rules, knocks, roles (design: names and trust)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import quote

from app.engine.door import open_session, refusal_of, send_request
from app.engine.events import Helper, HelpersAwayChanged, Knock, Role, RoomRules
from app.engine.server_api import http_base
from app.protocol.errors import ProtocolError

_MAX_KNOCKS = 200
_MAX_HELPERS = 200
_MAX_NAME_CHARS = 128


class HostDoor:
    """Calls with one's own token; each raises `WorldError` when the door says no."""

    def __init__(self, server_url: str, room: str) -> None:
        self._base = f"{http_base(server_url)}/lanai/v1/rooms/{quote(room, safe='')}"

    async def change_rules(self, token: str, changes: Mapping[str, object]) -> None:
        """Change what is named; everything else stays."""
        await self._ask("PATCH", "", token, changes)

    async def answer_knock(self, token: str, knock_id: str, *, admit: bool) -> None:
        """Let somebody in, or not."""
        await self._ask("POST", f"/knocks/{quote(knock_id, safe='')}", token, {"admit": admit})

    async def answer_all(self, token: str, *, admit: bool) -> None:
        """The same for everybody who waits."""
        await self._ask("POST", "/knocks", token, {"admit": admit})

    async def set_role(self, token: str, identity: str, role: Role) -> None:
        """Make somebody host, co-host or guest."""
        path = f"/people/{quote(identity, safe='')}/role"
        await self._ask("POST", path, token, {"role": str(role)})

    async def _ask(self, method: str, path: str, token: str, body: Mapping[str, object]) -> None:
        async with open_session() as session:
            status, answer = await send_request(
                session,
                method,
                self._base + path,
                None,
                json=body,
                headers={"Authorization": f"Bearer {token}"},
            )
        if status != 200:
            raise refusal_of(status, answer)


def read_door_packet(
    payload: bytes, *, now_ms: int
) -> RoomRules | HelpersAwayChanged | tuple[Knock, ...] | None:
    """Understand what the server told on `lanai.door`; None for what a newer one may tell."""
    try:
        content = json.loads(payload)
    except (ValueError, RecursionError):
        raise ProtocolError("door packet: no JSON") from None
    if not isinstance(content, Mapping):
        raise ProtocolError("door packet: no object")
    if content.get("type") == "rules" and isinstance(content.get("rules"), Mapping):
        return _rules(content["rules"])
    if content.get("type") == "knocks" and isinstance(content.get("knocks"), list):
        return _knocks(content["knocks"], now_ms)
    if content.get("type") == "away" and isinstance(content.get("people"), list):
        return HelpersAwayChanged(_helpers(content["people"]))
    return None


def _rules(values: Mapping[str, object]) -> RoomRules:
    allow = values.get("allow")
    allowed: Mapping[str, object] = allow if isinstance(allow, Mapping) else {}
    return RoomRules(
        passcode=values.get("passcode") is True,
        lobby=values.get("lobby") is True,
        locked=values.get("locked") is True,
        max_people=_number(values, "max_people"),
        share=allowed.get("share") is not False,
        chat=allowed.get("chat") is not False,
        files=allowed.get("files") is not False,
        version=_number(values, "version"),
    )


def _knocks(values: list[object], now_ms: int) -> tuple[Knock, ...]:
    knocks = []
    for value in values[:_MAX_KNOCKS]:
        if not isinstance(value, Mapping):
            continue
        knock_id, name = value.get("id"), value.get("name")
        if isinstance(knock_id, str) and knock_id and isinstance(name, str):
            since_ms = now_ms - _number(value, "waited_ms")
            knocks.append(Knock(knock_id, name[:_MAX_NAME_CHARS], since_ms))
    return tuple(knocks)


def _helpers(values: list[object]) -> tuple[Helper, ...]:
    helpers = []
    for value in values[:_MAX_HELPERS]:
        if not isinstance(value, Mapping):
            continue
        identity, name, role = (value.get(key) for key in ("identity", "name", "role"))
        is_known = isinstance(role, str) and role in tuple(Role)
        if isinstance(identity, str) and identity and isinstance(name, str) and is_known:
            helpers.append(Helper(identity, name[:_MAX_NAME_CHARS], Role(str(role))))
    return tuple(helpers)


def _number(values: Mapping[str, object], key: str) -> int:
    value = values.get(key)
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and 0 <= value < 2**53 else 0  # type: ignore[operator,return-value]  # narrowed in the line above
