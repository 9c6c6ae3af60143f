"""Tokens: ours are the official ones, and every broken rule has its own name."""

from __future__ import annotations

import datetime as dt
import json

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit import api

from app.protocol.token import (
    TokenError,
    TokenFault,
    VideoGrant,
    grant_to_claim,
    issue_token,
    sign_claims,
    verify_claims,
    verify_token,
)
from tests.support.vectors import read_vector

KEY, SECRET = "devkey", "secret-secret-secret-secret-secret-32"
KEYS = {KEY: SECRET}
NOW_S = 1_795_200_000.0
GRANT = VideoGrant(room_join=True, room="r")


def fault(token: str, *, now_s: float = NOW_S) -> TokenFault:
    with pytest.raises(TokenError) as caught:
        verify_token(token, KEYS, now_s=now_s)
    assert token not in str(caught.value)
    return caught.value.kind


def test_a_token_comes_back_as_the_claims_it_was_made_of() -> None:
    token = issue_token(
        api_key=KEY,
        api_secret=SECRET,
        identity="ada",
        name="Ada",
        now_s=NOW_S,
        ttl_s=60,
        grant=VideoGrant(room_join=True, room="r", can_publish=False, can_publish_sources=("m",)),
        metadata="m",
        attributes={"a": "b"},
        kind="agent",
    )
    claims = verify_token(token, KEYS, now_s=NOW_S)
    assert (claims.identity, claims.name, claims.metadata) == ("ada", "Ada", "m")
    assert (claims.attributes, claims.kind, claims.issued_by) == ({"a": "b"}, "agent", KEY)
    assert claims.expires_at_s == NOW_S + 60
    assert claims.video.can_publish_sources == ("m",)
    assert not claims.video.may_publish
    assert not claims.video.may_publish_data
    assert claims.video.may_subscribe


def test_the_official_verifier_accepts_our_token() -> None:
    token = issue_token(
        api_key=KEY,
        api_secret=SECRET,
        identity="ada",
        now_s=dt.datetime.now(dt.UTC).timestamp(),
        grant=GRANT,
        name="Ada",
    )
    claims = api.TokenVerifier(KEY, SECRET).verify(token)
    assert claims.identity == "ada"
    assert claims.video is not None
    assert (claims.video.room_join, claims.video.room) == (True, "r")


def test_we_accept_the_official_token() -> None:
    token = (
        api.AccessToken(KEY, SECRET)
        .with_identity("ada")
        .with_attributes({"a": "b"})
        .with_grants(api.VideoGrants(room_join=True, room="r", can_update_own_metadata=True))
        .to_jwt()
    )
    claims = verify_token(token, KEYS, now_s=dt.datetime.now(dt.UTC).timestamp())
    assert claims.identity == "ada"
    assert claims.video.can_update_own_metadata
    assert claims.video.may_publish_data


def test_tokens_recorded_from_the_reference_are_accepted() -> None:
    found = 0
    for record in read_vector("python_v1_publish_subscribe.alice.jsonl"):
        if record.type == "refresh_token":
            claims = verify_token(record.json["refresh_token"], KEYS, now_s=1_795_200_900)
            assert claims.identity == "alice"
            found += 1
    assert found


def test_a_minute_of_leeway_holds_both_ways() -> None:
    token = issue_token(
        api_key=KEY, api_secret=SECRET, identity="a", now_s=NOW_S, ttl_s=10, grant=GRANT
    )
    assert verify_token(token, KEYS, now_s=NOW_S + 40).identity
    assert verify_token(token, KEYS, now_s=NOW_S - 50).identity
    assert fault(token, now_s=NOW_S + 80) is TokenFault.EXPIRED
    assert fault(token, now_s=NOW_S - 70) is TokenFault.NOT_YET


def test_every_broken_rule_has_its_name() -> None:
    good = issue_token(api_key=KEY, api_secret=SECRET, identity="a", now_s=NOW_S, grant=GRANT)
    other = issue_token(api_key="no", api_secret=SECRET, identity="a", now_s=NOW_S, grant=GRANT)
    forged = issue_token(api_key=KEY, api_secret="x" * 32, identity="a", now_s=NOW_S, grant=GRANT)
    assert fault("not-a-jwt") is TokenFault.MALFORMED
    assert fault(good + "x" * 70_000) is TokenFault.MALFORMED
    assert fault(other) is TokenFault.UNKNOWN_KEY
    assert fault(forged) is TokenFault.SIGNATURE
    no_end = sign_claims({"iss": KEY, "sub": "a", "video": {}}, api_secret=SECRET)
    assert fault(no_end) is TokenFault.MALFORMED
    invite = sign_claims({"iss": KEY, "exp": NOW_S + 9, "lanai": {}}, api_secret=SECRET)
    assert fault(invite) is TokenFault.NO_GRANT
    assert verify_claims(invite, KEYS, now_s=NOW_S)["lanai"] == {}


def test_a_token_without_signature_is_refused() -> None:
    claims = {"iss": KEY, "sub": "a", "exp": NOW_S + 9, "video": {"roomJoin": True}}
    assert fault(jwt.encode(claims, "", algorithm="none")) in (
        TokenFault.SIGNATURE,
        TokenFault.MALFORMED,
    )


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["sub", "video", "exp", "nbf", "attributes", "room", "canPublish"])
                | st.text(max_size=4),
                inner,
                max_size=4,
            )
        ),
        max_leaves=8,
    )
)
def test_signed_nonsense_is_claims_or_an_error(value: object) -> None:
    body = {"iss": KEY, "exp": NOW_S + 9, **(value if isinstance(value, dict) else {})}
    try:
        verify_token(sign_claims(json.loads(json.dumps(body)), api_secret=SECRET), KEYS, now_s=0)
    except TokenError:
        return


@given(st.text(max_size=80))
def test_any_text_is_claims_or_an_error(text: str) -> None:
    with pytest.raises(TokenError):
        verify_token(text, KEYS, now_s=NOW_S)


def test_defaults_stay_out_of_the_claim() -> None:
    assert grant_to_claim(VideoGrant(room_join=True, can_publish=False)) == {
        "roomJoin": True,
        "canPublish": False,
    }
