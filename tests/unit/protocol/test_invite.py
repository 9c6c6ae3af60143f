from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.protocol.errors import ProtocolError
from app.protocol.invite import Link, LinkKind, build_invite, parse_link, readable_invite
from app.protocol.token import VideoGrant, issue_token

TOKEN = issue_token(
    api_key="key",
    api_secret="secret-secret-secret-secret-secret",
    identity="ada",
    now_s=1_000_000.0,
    grant=VideoGrant(room_join=True, room="team call"),
)
INVITE = TOKEN  # any JWT will do: nothing is verified here

rooms = (
    st.text(st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp")), min_size=1)
    .map(str.strip)
    .filter(lambda room: 0 < len(room.encode()) <= 256)
)
hosts = st.one_of(
    st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str), st.sampled_from(["a.b", "pc-7"])
)
links = st.builds(
    lambda host, port, room, invite, fingerprint, key: Link(
        LinkKind.INVITE if invite else LinkKind.DOOR,
        host,
        port,
        room=room,
        invite=invite,
        fingerprint=fingerprint,
        key=key,
        secure=bool(fingerprint),
    ),
    hosts,
    st.integers(1, 65535),
    rooms,
    st.sampled_from(["", INVITE]),
    st.sampled_from(["", "q1w2e3_-"]),
    st.text("abc+/=&#%é ", max_size=8),
)


@given(links, st.booleans())
def test_an_invitation_that_was_written_is_read_back(link: Link, web: bool) -> None:
    assert parse_link(build_invite(link, web=web)) == link


@given(links)
def test_an_invitation_shown_to_people_leads_to_the_same_room(link: Link) -> None:
    assert parse_link(readable_invite(build_invite(link))) == link


def test_an_invitation_is_shown_with_the_name_as_people_write_it() -> None:
    link = Link(LinkKind.INVITE, "10.0.0.1", 7880, room="Gärten am See", invite=INVITE)

    assert readable_invite(build_invite(link)) == f"lanai://10.0.0.1:7880/Gärten am See?i={INVITE}"


@given(st.one_of(st.text(), st.text("lanaiws:/.?#=&%[]0123456789 e")))
def test_any_text_is_a_link_or_a_protocol_error(text: str) -> None:
    try:
        link = parse_link(text)
    except ProtocolError:
        return
    assert link.host
    assert 0 < link.port < 65536


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("192.168.1.5", Link(LinkKind.DOOR, "192.168.1.5", 7880)),
        ("  studio.local:9000/Jam ", Link(LinkKind.DOOR, "studio.local", 9000, room="Jam")),
        ("[fe80::1]/x", Link(LinkKind.DOOR, "fe80::1", 7880, room="x")),
        ("10.0.0.1/My  meeting ", Link(LinkKind.DOOR, "10.0.0.1", 7880, room="My meeting")),
        ("lanai://h:1/Ada's own room", Link(LinkKind.DOOR, "h", 1, room="Ada's own room")),
        ("lanai://h/r%20s", Link(LinkKind.DOOR, "h", 7880, room="r s")),
        ("https://h/r", Link(LinkKind.DOOR, "h", 443, room="r", secure=True)),
        (
            f"lanai://10.0.0.1:7881/r?i={INVITE}&f=AbC#k=s3",
            Link(
                LinkKind.INVITE,
                "10.0.0.1",
                7881,
                room="r",
                invite=INVITE,
                fingerprint="AbC",
                key="s3",
                secure=True,
            ),
        ),
    ],
)
def test_each_shape_of_a_door_is_understood(text: str, link: Link) -> None:
    assert parse_link(text) == link


@pytest.mark.parametrize(
    "text",
    [
        f"wss://cloud.example {TOKEN}",
        f"{TOKEN}\n wss://cloud.example/",
        f"https://cloud.example?access_token={TOKEN}",
        f"wss://cloud.example/?token={TOKEN}",
    ],
)
def test_a_pasted_token_makes_any_livekit_server_reachable(text: str) -> None:
    link = parse_link(text)

    assert (link.kind, link.server_url) == (LinkKind.SERVER, "wss://cloud.example:443")
    assert (link.token, link.room) == (TOKEN, "team call")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello world",
        "10.0.0.1/a 10.0.0.2/b",
        "10.0.0.1/ a",
        f"lanai://h/r?i={INVITE} see you",
        "wss://cloud.example/my room",
        "ftp://h/r",
        "javascript://h/r",
        "wss://cloud.example",
        "wss://cloud.example not.a.token",
        "lanai://user:pw@h/r",
        "lanai://h:0/r",
        "lanai://h:99999/r",
        "lanai:///r",
        "lanai://h/r?i=nonsense",
        f"lanai://h/?i={INVITE}",
        "lanai://h/r?f=not*base64",
        "lanai://h/" + "x" * 300,
        "lanai://h/a%00b",
        "lanai://h/a%E2%80%AEb",
        "256.1.1.1",
        "1.2.3",
        "-x.example",
        "x" * 20_000,
        "a b c",
    ],
)
def test_what_is_no_link_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError):
        parse_link(text)


def test_neither_address_holds_the_key() -> None:
    link = parse_link("lanai://h:1/r#k=secret")

    assert "secret" not in link.door_url + link.server_url + link.address
