from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable

import pytest

from app.protocol.rtp.header import RtpPacket, build_rtp
from app.rtc import ice_checklist
from app.rtc.client_transport import CLOSED_BY_PEER, LIVEKIT_CHANNELS, ClientTransport
from app.rtc.ice_agent import IceAgent, local_addresses
from app.rtc.rtcp import build_pli
from tests.support.session_room import eventually


class End:
    """One side: a transport and what it reported."""

    def __init__(self, name: str, *, is_offerer: bool) -> None:
        self.connected = 0
        self.restored = 0
        self.interrupted = 0
        self.failures: list[str] = []
        self.open: list[str] = []
        self.data: list[tuple[str, bytes]] = []
        self.rtp: list[bytes] = []
        self.rtcp: list[bytes] = []
        self.transport = ClientTransport(
            name,
            is_offerer=is_offerer,
            observer=self,
            channels=LIVEKIT_CHANNELS if is_offerer else (),
        )
        self.transport.on_rtp = self.rtp.append
        self.transport.on_rtcp = self.rtcp.append

    def on_transport_connected(self) -> None:
        self.connected += 1

    def on_transport_interrupted(self) -> None:
        self.interrupted += 1

    def on_transport_restored(self) -> None:
        self.restored += 1

    def on_transport_failed(self, reason: str) -> None:
        self.failures.append(reason)

    def on_channel_open(self, label: str) -> None:
        self.open.append(label)

    def on_channel_data(self, label: str, data: bytes) -> None:
        self.data.append((label, data))

    def learn(
        self,
        other: End,
        *,
        fingerprint: str = "",
        candidates: Iterable[str] | None = None,
    ) -> None:
        """Take the other side's description."""
        there = other.transport
        self.transport.set_remote(
            ufrag=there.ufrag,
            pwd=there.pwd,
            is_lite=False,
            fingerprints=[("sha-256", fingerprint or there.fingerprint)],
            dtls_role="client" if self.transport.name == "answerer" else "server",
            candidates=there.candidates if candidates is None else candidates,
            sctp_port=5000,
            max_message_bytes=65_535,
        )


@pytest.fixture(params=["readers", "no readers"])
async def ends(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[End, End]]:
    if request.param == "no readers":
        # As on Windows' default loop. What asyncio itself does for `sock_recvfrom` goes on.
        def refuse(*_: object) -> None:
            raise NotImplementedError

        monkeypatch.setattr(asyncio.get_running_loop(), "add_reader", refuse)
    offerer, answerer = End("offerer", is_offerer=True), End("answerer", is_offerer=False)
    for end in (offerer, answerer):
        end.transport.open(["127.0.0.1"])
    yield offerer, answerer
    for end in (offerer, answerer):
        await end.transport.close()


async def connect(offerer: End, answerer: End) -> None:
    answerer.learn(offerer)
    offerer.learn(answerer)
    await eventually(lambda: offerer.connected and answerer.connected)


async def test_two_full_agents_connect_and_exchange_data_on_the_offerer_s_channels(
    ends: tuple[End, End],
) -> None:
    offerer, answerer = ends
    await connect(offerer, answerer)
    await eventually(lambda: len(offerer.open) == 3 and len(answerer.open) == 3)
    offerer.transport.send_data("_reliable", b"there")
    answerer.transport.send_data("_lossy", b"back")

    await eventually(lambda: answerer.data and offerer.data)
    assert answerer.data == [("_reliable", b"there")]
    assert offerer.data == [("_lossy", b"back")]
    assert sorted(offerer.open) == ["_data_track", "_lossy", "_reliable"]


async def test_media_is_protected_and_told_apart_from_its_control(ends: tuple[End, End]) -> None:
    offerer, answerer = ends
    packet = build_rtp(RtpPacket(96, 1, 2, 3, b"payload", True))
    assert not offerer.transport.send_rtp(packet)
    await connect(offerer, answerer)

    assert offerer.transport.send_rtp(packet)
    assert answerer.transport.send_rtcp(build_pli(1, 3))
    await eventually(lambda: answerer.rtp and offerer.rtcp)
    assert answerer.rtp == [packet]
    assert offerer.rtcp == [build_pli(1, 3)]


async def test_trickled_candidates_may_come_before_the_description(
    ends: tuple[End, End],
) -> None:
    offerer, answerer = ends
    answerer.learn(offerer, candidates=())
    for line in answerer.transport.candidates:
        offerer.transport.add_remote_candidate(line)
    offerer.transport.add_remote_candidate("nonsense")
    offerer.learn(answerer, candidates=())

    await eventually(lambda: offerer.connected and answerer.connected)


async def test_a_peer_with_another_certificate_is_refused(ends: tuple[End, End]) -> None:
    offerer, answerer = ends
    answerer.learn(offerer)
    offerer.learn(answerer, fingerprint=":".join(["00"] * 32))

    await eventually(lambda: offerer.failures)
    assert offerer.connected == 0
    assert not offerer.transport.send_rtp(bytes(12))


async def test_an_ice_restart_leaves_media_running(ends: tuple[End, End]) -> None:
    offerer, answerer = ends
    await connect(offerer, answerer)
    before = (offerer.transport.ufrag, answerer.transport.ufrag)
    offerer.transport.restart_ice()
    answerer.transport.restart_ice()
    assert (offerer.transport.ufrag, answerer.transport.ufrag) != before
    answerer.learn(offerer)
    offerer.learn(answerer)

    for number in range(30):
        offerer.transport.send_rtp(build_rtp(RtpPacket(96, number, 2, 3, b"x")))
        await asyncio.sleep(0.01)
    await eventually(lambda: len(answerer.rtp) == 30)
    checklists = [end.transport._ice._checklist for end in ends]
    await eventually(lambda: all(checklist._selected for checklist in checklists))
    assert (offerer.connected, offerer.failures, answerer.failures) == (1, [], [])
    assert (offerer.restored, answerer.restored) == (1, 1)
    assert offerer.interrupted == answerer.interrupted == 0


async def test_a_peer_that_falls_silent_is_an_interruption_and_a_restart_ends_it(
    ends: tuple[End, End], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ice_checklist, "CONSENT_INTERVAL_S", 0.1)
    monkeypatch.setattr(ice_checklist, "CONSENT_TIMEOUT_S", 0.5)
    offerer, answerer = ends
    await connect(offerer, answerer)
    with monkeypatch.context() as deaf:
        deaf.setattr(IceAgent, "_handle_stun", lambda *_: None)
        await eventually(lambda: offerer.interrupted and answerer.interrupted)
    offerer.transport.restart_ice()
    answerer.transport.restart_ice()
    answerer.learn(offerer)
    offerer.learn(answerer)
    await eventually(lambda: offerer.restored and answerer.restored)
    offerer.transport.send_data("_reliable", b"still the same association")
    await eventually(lambda: answerer.data)
    assert (offerer.connected, offerer.failures, answerer.failures) == (1, [], [])


async def test_a_goodbye_is_told_and_a_close_of_our_own_is_not(ends: tuple[End, End]) -> None:
    offerer, answerer = ends
    await connect(offerer, answerer)
    await answerer.transport.close()

    await eventually(lambda: offerer.failures)
    assert offerer.failures == [CLOSED_BY_PEER]
    assert answerer.failures == []


async def test_datagrams_of_strangers_change_nothing(ends: tuple[End, End]) -> None:
    offerer, answerer = ends
    await connect(offerer, answerer)
    await eventually(lambda: "_reliable" in offerer.open)
    host, port = offerer.transport.candidates[0].split()[4:6]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for first in range(256):
            stranger.sendto(bytes((first,)) + bytes(40), (host, int(port)))
            stranger.sendto(bytes((first,)), (host, int(port)))
    offerer.transport.send_data("_reliable", b"still here")

    await eventually(lambda: answerer.data == [("_reliable", b"still here")])
    assert offerer.failures == []
    assert offerer.rtp == []


def test_loopback_is_gathered_when_the_server_is_on_this_machine_and_not_otherwise() -> None:
    assert "127.0.0.1" in local_addresses(["127.0.0.1"])
    assert "127.0.0.1" not in local_addresses(["198.51.100.1"])
    for address in local_addresses(["198.51.100.1"]):
        assert local_addresses([address])[0] == "127.0.0.1"
    assert len(set(local_addresses(["127.0.0.1"]))) == len(local_addresses(["127.0.0.1"]))
