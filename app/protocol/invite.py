"""Read whatever a person pastes into the join field, and write invitations.

Four shapes are understood (design: names, doors and trust):

- `lanai://HOST[:PORT]/ROOM?i=INVITE&f=FP#k=KEY`, and the same parts behind `https://` or `http://`;
- `HOST[:PORT][/ROOM]`, the address of a Lanai door; the room's name may have spaces in it;
- `ws(s)://HOST[:PORT]` with an access token pasted beside it, for any LiveKit server. The token
  stands before or after the address, or in the query as `access_token` or `token`;
- an `http(s)://` address with such a token, which is the same server's web address.

Nothing here is verified: the server that signed an invitation or a token does that.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace
from enum import StrEnum
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlencode, urlsplit

from app.protocol.errors import ProtocolError

DEFAULT_PORT = 7880
_MAX_LINK_CHARS = 16_384
_MAX_ROOM_BYTES = 256
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)\Z")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{2,}\.[A-Za-z0-9_-]{2,}\.[A-Za-z0-9_-]{2,}\Z")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*={0,2}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_WEB_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


class LinkKind(StrEnum):
    """What a pasted text turned out to be."""

    INVITE = "invite"
    DOOR = "door"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Link:
    """Where a meeting is and what was handed over to enter it.

    `secure` says TLS. `token` is set for `SERVER` alone; `room` is empty when the address named
    none. `key` is for end-to-end encryption and never leaves this computer.
    """

    kind: LinkKind
    host: str
    port: int
    room: str = ""
    invite: str = ""
    fingerprint: str = ""
    key: str = ""
    secure: bool = False
    token: str = ""

    @property
    def address(self) -> str:
        """`host:port`, IPv6 in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def door_url(self) -> str:
        """Base of the door's addresses, without a slash at the end."""
        return f"{'https' if self.secure else 'http'}://{self.address}"

    def with_room(self, room: str) -> Link:
        """Return the same door, at another room."""
        return replace(self, room=room)

    @property
    def server_url(self) -> str:
        """What a LiveKit client connects to."""
        return f"{'wss' if self.secure else 'ws'}://{self.address}"


def parse_link(text: str) -> Link:
    """Understand `text`, or raise `ProtocolError`."""
    if len(text) > _MAX_LINK_CHARS:
        raise ProtocolError("link: too long")
    words = text.split()
    if any(_CONTROL.search(word) for word in words):
        raise ProtocolError("link: control characters")
    pasted = [word for word in words if _TOKEN.match(word) and _claims(word) is not None]
    addresses = _join_room_name([word for word in words if word not in pasted])
    if len(addresses) != 1 or len(pasted) > 1:
        raise ProtocolError("link: not one address")
    return _parse_address(addresses[0], pasted[0] if pasted else "")


def build_invite(link: Link, *, web: bool = False) -> str:
    """Write `link` as an invitation; `web` gives the http(s) twin a browser understands."""
    scheme = ("https" if link.secure else "http") if web else "lanai"
    query = {k: v for k, v in (("i", link.invite), ("f", link.fingerprint)) if v}
    text = f"{scheme}://{link.address}/{quote(link.room, safe='')}"
    if query:
        text += "?" + urlencode(query)
    if link.key:
        text += "#k=" + quote(link.key, safe="")
    return text


def readable_invite(text: str) -> str:
    """The same link with the meeting's name as a person writes it, where that says the same."""
    address, mark, rest = text.partition("?")
    readable = unquote(address) + mark + rest
    try:
        return readable if parse_link(readable) == parse_link(text) else text
    except ProtocolError:
        return text


def _join_room_name(words: list[str]) -> list[str]:
    """Put a typed address together again whose room has a name of several words."""
    if len(words) < 2:
        return words
    _, slash, room = words[0].rpartition("://")[2].partition("/")
    # An invitation that was shown with its name readable has its query after the last word.
    *inner, last = words[1:]
    name_ends = last.partition("?")[0]
    is_name = not any(mark in word for word in [*inner, name_ends] for mark in "/:?#")
    return [" ".join(words)] if slash and room and "?" not in room and is_name else words


def _parse_address(text: str, token: str) -> Link:
    scheme, separator, _ = text.partition("://")
    scheme = scheme.lower()
    if not separator:
        scheme, text = "", "//" + text
    elif scheme not in ("lanai", *_WEB_PORTS):
        raise ProtocolError("link: unknown scheme")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
        query = parse_qs(parts.query, max_num_fields=20)
        fragment = parse_qs(parts.fragment, max_num_fields=5)
    except ValueError:
        raise ProtocolError("link: malformed address") from None
    if parts.username is not None or parts.password is not None:
        raise ProtocolError("link: user name in the address")
    if not _is_host(host) or port == 0:
        raise ProtocolError("link: no usable host")
    token = token or _first(query, "access_token") or _first(query, "token")
    if token or scheme in ("ws", "wss"):
        return _server_link(scheme, host, port, token)
    return _door_link(scheme, host, port, parts, query, fragment)


def _server_link(scheme: str, host: str, port: int | None, token: str) -> Link:
    claims = _claims(token) if _TOKEN.match(token) else None
    if claims is None:
        raise ProtocolError("link: a server address needs a token beside it")
    grant = claims.get("video")
    room = grant.get("room") if isinstance(grant, dict) else None
    return Link(
        LinkKind.SERVER,
        host,
        port or _WEB_PORTS.get(scheme, DEFAULT_PORT),
        room=room if isinstance(room, str) and _is_room(room) else "",
        secure=scheme in ("wss", "https"),
        token=token,
    )


def _door_link(
    scheme: str,
    host: str,
    port: int | None,
    parts: SplitResult,
    query: dict[str, list[str]],
    fragment: dict[str, list[str]],
) -> Link:
    path = parts.path.removeprefix("/").removesuffix("/")
    room = unquote(path)
    if "/" in path or (room and not _is_room(room)):
        raise ProtocolError("link: unusable room name")
    invite, fingerprint = _first(query, "i"), _first(query, "f")
    if invite and not _TOKEN.match(invite):
        raise ProtocolError("link: malformed invitation")
    if not _BASE64URL.match(fingerprint):
        raise ProtocolError("link: malformed fingerprint")
    if invite and not room:
        raise ProtocolError("link: an invitation without a room")
    return Link(
        LinkKind.INVITE if invite else LinkKind.DOOR,
        host,
        port or _WEB_PORTS.get(scheme, DEFAULT_PORT),
        room=room,
        invite=invite,
        fingerprint=fingerprint,
        key=_first(fragment, "k"),
        secure=scheme == "https" or bool(fingerprint),
    )


def _first(query: dict[str, list[str]], name: str) -> str:
    return query[name][0] if name in query else ""


def _is_host(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return True
    labels = host.removesuffix(".").split(".")
    # All digits and dots that were no IPv4 address above: a mistyped one, not a name.
    mistyped = all(label.isdigit() for label in labels)
    return len(host) <= 253 and not mistyped and all(_LABEL.match(label) for label in labels)


def _is_room(room: str) -> bool:
    try:
        size_bytes = len(room.encode())
    except UnicodeEncodeError:
        return False
    return 0 < size_bytes <= _MAX_ROOM_BYTES and not _CONTROL.search(room) and room == room.strip()


def _claims(token: str) -> dict[str, object] | None:
    """Read a token's payload without trusting it; None when it is no token."""
    # Imported here: PyJWT brings cryptography along, and the first window need not wait for it.
    from app.protocol.token import peek_claims

    try:
        return peek_claims(token)
    except ProtocolError:
        return None
