"""What the host's computer signs: the host's own access token, and invitations.

An invitation is a JWT without a `video` grant (design: names, doors and trust): it opens the
door of one room and is no access token, so a LiveKit client cannot do anything with it.
"""

from __future__ import annotations

import secrets

from app.host.keys import KeyPair
from app.protocol.ids import slug
from app.protocol.token import VideoGrant, issue_token, sign_claims

TOKEN_TTL_S = 6 * 3600
INVITE_TTL_S = 24 * 3600


def host_token(keys: KeyPair, *, room: str, name: str, now_s: float) -> str:
    """Sign the host's own token: join, moderate, and end the meeting for everybody."""
    grant = VideoGrant(
        room_join=True, room=room, room_admin=True, room_create=True, can_update_own_metadata=True
    )
    return issue_token(
        api_key=keys.api_key,
        api_secret=keys.api_secret,
        identity=new_identity(name),
        now_s=now_s,
        ttl_s=TOKEN_TTL_S,
        name=name,
        grant=grant,
        attributes={"lanai.role": "host"},
    )


def invitation(keys: KeyPair, *, room: str, now_s: float, role: str = "guest") -> str:
    """Sign an invitation into `room`, good for a day."""
    claims = {
        "iss": keys.api_key,
        "nbf": int(now_s),
        "exp": int(now_s) + INVITE_TTL_S,
        "lanai": {"room": room, "role": role, "jti": secrets.token_hex(8)},
    }
    return sign_claims(claims, api_secret=keys.api_secret)


def new_identity(name: str) -> str:
    """Make an identity as the door does: the name made plain, and six random characters."""
    return f"{slug(name)}-{secrets.token_hex(3)}"
