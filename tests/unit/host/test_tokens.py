from __future__ import annotations

import pytest

from app.host.keys import KeyPair
from app.host.tokens import INVITE_TTL_S, host_token, invitation
from app.protocol.token import TokenError, verify_claims, verify_token

KEYS = KeyPair("key", "secret-secret-secret-secret-secret")
KNOWN = {KEYS.api_key: KEYS.api_secret}


def test_the_host_may_join_moderate_and_end() -> None:
    claims = verify_token(
        host_token(KEYS, room="jam", name="Ada L.", now_s=1000.0), KNOWN, now_s=1000.0
    )

    video = claims.video
    assert (video.room, video.room_join, video.room_admin, video.room_create) == (
        "jam",
        True,
        True,
        True,
    )
    assert claims.identity.startswith("ada-l-")
    assert claims.attributes == {"lanai.role": "host"}


def test_an_invitation_is_no_access_token() -> None:
    invite = invitation(KEYS, room="jam", now_s=1000.0)

    claims = verify_claims(invite, KNOWN, now_s=1000.0)

    assert (claims["lanai"]["room"], claims["lanai"]["role"]) == ("jam", "guest")
    assert claims["exp"] == 1000 + INVITE_TTL_S
    with pytest.raises(TokenError):
        verify_token(invite, KNOWN, now_s=1000.0)
