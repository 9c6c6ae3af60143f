"""Session descriptions: what official clients send survives, what nobody sends is refused."""

from __future__ import annotations

import contextlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.protocol.errors import ProtocolError
from app.protocol.sdp import EXT_RID, parse_candidate, parse_sdp
from tests.support.vectors import session_descriptions

ALL = list(session_descriptions())
OFFER = next(text for _, text in ALL if "simulcast" in text)


def test_there_are_recorded_descriptions_to_try() -> None:
    assert len(ALL) > 50


def test_every_recorded_description_keeps_its_lines() -> None:
    for name, text in ALL:
        written = parse_sdp(text).to_text()
        before = Counter(text.split("\r\n"))
        after = Counter(written.split("\r\n"))
        # A direction left out means sendrecv; we always write it.
        after["a=sendrecv"] = before["a=sendrecv"]
        assert after - Counter() == before - Counter(), name


def test_every_recorded_description_reads_the_same_after_writing() -> None:
    for name, text in ALL:
        description = parse_sdp(text)
        assert parse_sdp(description.to_text()) == description, name


def test_a_simulcast_section_names_its_layers_codecs_and_extensions() -> None:
    media = next(m for m in parse_sdp(OFFER).media if m.simulcast)
    assert media.kind == "video"
    assert media.simulcast is not None
    assert media.simulcast[0] == "send"
    assert [rid for rid, _ in media.rids] == media.simulcast[1]
    assert EXT_RID in media.extensions
    vp8 = media.codecs_named("vp8")[0]
    rtx = media.rtx_for(vp8.payload_type)
    assert rtx is not None
    assert rtx.parameters() == {"apt": str(vp8.payload_type)}


def test_values_given_for_the_session_are_found_in_each_section() -> None:
    text = (
        "v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\n"
        "a=fingerprint:SHA-256 AA:BB\r\na=setup:actpass\r\n"
        "m=audio 9 UDP/TLS/RTP/SAVPF 0 111\r\na=mid:0\r\na=rtpmap:111 opus/48000/2\r\n"
        "a=rtcp-fb:* nack\r\n"
    )
    media = parse_sdp(text).media[0]
    assert (media.ice_ufrag, media.ice_pwd, media.setup) == ("u", "p", "actpass")
    assert media.fingerprints == [("sha-256", "AA:BB")]
    assert [(c.name, c.clock_rate, c.channels) for c in media.codecs] == [
        ("PCMU", 8000, 1),
        ("opus", 48000, 2),
    ]
    assert media.codecs[1].feedback == ["nack"]
    assert parse_sdp(text).to_text().count("a=setup") == 1


@pytest.mark.parametrize(
    "line",
    [
        "m=audio",
        "m=audio 99999 UDP/TLS/RTP/SAVPF 0",
        "m=audio 9 UDP/TLS/RTP/SAVPF 128",
        "m=audio 9 UDP/TLS/RTP/SAVPF 0 0",
        "m=audio 9 UDP/TLS/RTP/SAVPF 0\na=rtpmap:x opus/48000",
        "m=audio 9 UDP/TLS/RTP/SAVPF 0\na=ssrc:-1 cname:x",
        "m=audio 9 UDP/TLS/RTP/SAVPF 0\na=ssrc:٣ cname:x",
        "m=audio 9 UDP/TLS/RTP/SAVPF 0\na=extmap:0 urn:x",
        "m=audio 9 UDP/TLS/RTP/SAVPF 0\na=mid:0\nm=audio 9 UDP/TLS/RTP/SAVPF 0\na=mid:0",
        "m=video 9 UDP/TLS/RTP/SAVPF 0\na=simulcast:sideways q",
        "m=video 9 UDP/TLS/RTP/SAVPF 0\na=rid:q",
        "a=setup:boss",
        "nonsense",
        "a=ice-lite\rb",
    ],
)
def test_a_malformed_line_is_the_peers_error(line: str) -> None:
    with pytest.raises(ProtocolError):
        parse_sdp(f"v=0\no=- 1 2 IN IP4 0.0.0.0\ns=-\nt=0 0\n{line}\n")


@given(st.text(max_size=400))
def test_any_text_is_a_description_or_an_error(text: str) -> None:
    with contextlib.suppress(ProtocolError):
        parse_sdp(text)


@given(st.data())
def test_a_damaged_offer_is_a_description_or_an_error(data: st.DataObject) -> None:
    lines = OFFER.split("\r\n")
    for _ in range(data.draw(st.integers(1, 4))):
        index = data.draw(st.integers(0, len(lines) - 1))
        at = data.draw(st.integers(0, len(lines[index])))
        junk = data.draw(st.text(max_size=6))
        lines[index] = lines[index][:at] + junk + lines[index][at + len(junk) // 2 :]
    try:
        description = parse_sdp("\r\n".join(lines))
    except ProtocolError:
        return
    assert parse_sdp(description.to_text()).media == description.media


def test_a_candidate_is_read_with_its_ufrag() -> None:
    candidate = parse_candidate(
        "candidate:503449639 1 udp 2122194687 192.0.2.10 55195 typ host generation 0 ufrag Nd4t"
    )
    assert (candidate.transport, candidate.address, candidate.port) == ("udp", "192.0.2.10", 55195)
    assert (candidate.kind, candidate.ufrag, candidate.tcp_type) == ("host", "Nd4t", "")


@given(st.text(max_size=120))
def test_any_text_is_a_candidate_or_an_error(text: str) -> None:
    with contextlib.suppress(ProtocolError):
        parse_candidate(text)


def test_an_offer_cannot_be_made_to_cost_more_than_its_length() -> None:
    head = OFFER.partition("m=")[0]
    section = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\na=rtpmap:96 VP8/90000\r\n"
    with pytest.raises(ProtocolError, match="too many lines"):
        parse_sdp(head + section + "a=ssrc:1 cname:x\r\n" * 1_000)
    with pytest.raises(ProtocolError, match="too many lines"):
        parse_sdp(head + "a=fingerprint:sha-256 AA\r\n" * 1_000 + section)

    repeated = parse_sdp(head + section + "a=rtcp-fb:* nack\r\n" * 500)
    assert repeated.media[0].codecs[0].feedback == ["nack"]
