"""The media port with real sockets: joining, data, addresses, silence and strangers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from functools import partial

import pytest

from app.rtc import ice_lite, server_transport
from app.rtc.data_channels import LOCAL_SCTP_PORT
from app.rtc.datagrams import ReceiveSlots
from app.rtc.dtls import new_certificate
from app.rtc.server_transport import ServerTransport
from app.rtc.stun import StunMessage
from app.rtc.udp_mux import UdpMux
from app.runtime.errors import Reason, WorldError
from tests.support.media_peer import MediaPeer


class Observer:
    def __init__(self) -> None:
        self.connected = asyncio.Event()
        self.failed: list[str] = []
        self.interruptions = 0
        self.gone = asyncio.Event()
        self.got_data = asyncio.Event()
        self.opened: list[str] = []
        self.messages: list[tuple[str, bytes]] = []

    def on_connected(self) -> None:
        self.connected.set()

    def on_interrupted(self) -> None:
        self.interruptions += 1

    def on_failed(self, reason: str) -> None:
        self.failed.append(reason)
        self.gone.set()

    def on_data_open(self, label: str) -> None:
        self.opened.append(label)

    def on_data(self, label: str, data: bytes) -> None:
        self.messages.append((label, data))
        self.got_data.set()


class Scene:
    def __init__(self, mux: UdpMux) -> None:
        self.mux = mux
        self.observer = Observer()
        self.transport = ServerTransport(mux, new_certificate(), observer=self.observer)

    async def join(self, peer: MediaPeer, host: str = "127.0.0.1") -> None:
        transport = self.transport
        transport.set_remote(
            fingerprints=[("sha-256", peer.fingerprint)],
            sctp_port=LOCAL_SCTP_PORT,
            max_message_size=262_144,
        )
        await peer.connect(
            (host, self.mux.port), transport.ufrag, transport.pwd, transport.fingerprint
        )
        await asyncio.wait_for(self.observer.connected.wait(), 30)


def _has_more(items: list[StunMessage], than: int) -> bool:
    return len(items) > than


@pytest.fixture(params=["batched", "single"])
async def scene(request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    mux = UdpMux.open(["127.0.0.1"], 0)
    mux.slots = ReceiveSlots(batched=mux.slots.is_batched and request.param == "batched")
    scene = Scene(mux)
    yield scene
    await scene.transport.close()
    mux.close()


async def test_a_peer_joins_and_data_flows_both_ways(scene: Scene) -> None:
    peer = MediaPeer()
    peer.channels.create("_reliable")
    await scene.join(peer)
    peer.channels.start(LOCAL_SCTP_PORT, 65_535)
    await peer.until(lambda: peer.opened == ["_reliable"])

    peer.channels.send("_reliable", b"up")
    assert scene.transport.send_data("_reliable", b"down")
    assert not scene.transport.send_data("_lossy", b"not open")

    await peer.until(lambda: peer.messages == [("_reliable", b"down")])
    await asyncio.wait_for(scene.observer.got_data.wait(), 30)
    assert scene.observer.messages == [("_reliable", b"up")]
    mapped = peer.stun_answers[0].mapped_address
    assert mapped == peer.sock.getsockname()
    await peer.close()
    await asyncio.wait_for(scene.observer.gone.wait(), 30)


async def test_media_follows_the_path_that_the_peer_nominates(scene: Scene) -> None:
    peer = MediaPeer()
    await scene.join(peer)
    old = peer.sock
    asyncio.get_running_loop().remove_reader(old.fileno())
    peer.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    peer.sock.setblocking(False)
    peer.sock.bind(("127.0.0.1", 0))
    asyncio.get_running_loop().add_reader(peer.sock.fileno(), peer._drain)

    for _ in range(2):
        before = len(peer.stun_answers)
        peer.check(scene.transport.ufrag, scene.transport.pwd)
        await peer.until(partial(_has_more, peer.stun_answers, before))
    scene.transport.send_rtcp(b"\x80\xc9\x00\x01\x00\x00\x00\x07")

    await peer.until(lambda: len(peer.rtcp) == 1)
    old.close()
    await peer.close()


async def test_an_ice_restart_takes_new_credentials_and_keeps_the_path(scene: Scene) -> None:
    peer = MediaPeer()
    await scene.join(peer)
    before = scene.transport.ufrag
    scene.transport.restart_ice()
    assert scene.transport.ufrag != before

    peer.check(scene.transport.ufrag, scene.transport.pwd)
    await peer.until(lambda: len(peer.stun_answers) == 2)
    assert scene.transport.is_connected
    await peer.close()


async def test_nobody_takes_over_the_address_of_a_living_peer(scene: Scene) -> None:
    peer = MediaPeer()
    await scene.join(peer)
    other = ServerTransport(scene.mux, new_certificate(), observer=Observer())
    mux_socket = scene.mux._sockets[0]
    key = next(iter(mux_socket.peers))

    # As if another participant had sent a check under this peer's address.
    peer.check(other.ufrag, other.pwd)
    peer.check(scene.transport.ufrag, scene.transport.pwd)

    await peer.until(lambda: len(peer.stun_answers) == 2)
    assert mux_socket.peers == {key: scene.transport}
    await other.close()
    await peer.close()


async def test_a_peer_has_no_end_of_addresses_and_only_the_latest_are_kept(scene: Scene) -> None:
    peer = MediaPeer()
    await scene.join(peer)
    mux_socket = scene.mux._sockets[0]
    own = next(iter(mux_socket.peers))
    senders = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(100)]
    for sender in senders:
        sender.bind(("127.0.0.1", 0))
    mine = peer.sock
    for sender in senders:
        peer.sock = sender
        peer.check(scene.transport.ufrag, scene.transport.pwd, nominate=False)
    peer.sock = mine
    before = len(peer.stun_answers)
    peer.check(scene.transport.ufrag, scene.transport.pwd)
    await peer.until(partial(_has_more, peer.stun_answers, before))

    assert own in mux_socket.peers
    assert len(mux_socket.peers) == 64
    for sender in senders:
        sender.close()
    await peer.close()


async def test_a_wrong_password_is_not_answered(scene: Scene) -> None:
    peer = MediaPeer()
    peer.server = ("127.0.0.1", scene.mux.port)
    peer.check(scene.transport.ufrag, "wrong")
    peer.check("unknown", scene.transport.pwd)
    peer._send_raw(b"\x16 nobody asked")
    peer._send_raw(b"\x80\x60 nobody asked")
    peer._send_raw(b"")
    peer.check(scene.transport.ufrag, scene.transport.pwd)
    await peer.until(lambda: bool(peer.stun_answers))
    assert len(peer.stun_answers) == 1
    assert scene.mux.unknown == 3
    await peer.close()


async def test_a_silent_peer_is_gone(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ice_lite, "PATH_TIMEOUT_S", 0.0)
    monkeypatch.setattr(ice_lite, "PATH_GRACE_S", 0.1)
    monkeypatch.setattr(server_transport, "_WATCH_INTERVAL_S", 0.05)
    peer = MediaPeer()
    await scene.join(peer)
    peer.vanish()
    await asyncio.wait_for(scene.observer.gone.wait(), 30)
    assert scene.observer.failed == ["no binding request"]
    assert scene.observer.interruptions == 1
    await peer.close()


async def test_each_local_address_answers_from_itself() -> None:
    mux = UdpMux.open(["127.0.0.1", "127.0.0.2"], 0)
    assert len(mux.candidates) == 2
    scene = Scene(mux)
    peer = MediaPeer()
    peer.sock.connect(("127.0.0.2", mux.port))
    peer.server = ("127.0.0.2", mux.port)
    peer.check(scene.transport.ufrag, scene.transport.pwd)
    await peer.until(lambda: bool(peer.stun_answers))
    await scene.transport.close()
    mux.close()
    await peer.close()


async def test_ipv6_loopback_works() -> None:
    try:
        mux = UdpMux.open(["::1"], 0)
    except WorldError:
        pytest.skip("no IPv6 loopback")
    scene = Scene(mux)
    peer = MediaPeer("::1")
    await scene.join(peer, "::1")
    scene.transport.send_rtcp(b"\x80\xc9\x00\x01\x00\x00\x00\x07")
    await peer.until(lambda: len(peer.rtcp) == 1)
    await scene.transport.close()
    mux.close()
    await peer.close()


async def test_a_taken_port_says_so() -> None:
    mux = UdpMux.open(["127.0.0.1"], 0)
    with pytest.raises(WorldError) as caught:
        UdpMux.open(["127.0.0.1"], mux.port)
    assert caught.value.reason is Reason.PORT_TAKEN
    mux.close()
