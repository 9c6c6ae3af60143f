"""A room of bare media clients around the real server media, without signalling."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass, field

from app.protocol.rtp.header import RtpPacket, build_rtp
from app.rtc.data_channels import LOCAL_SCTP_PORT
from app.rtc.dtls import new_certificate
from app.rtc.server_transport import ServerTransport
from app.rtc.udp_mux import UdpMux
from app.server.tracks.media import ParticipantMedia, RoomMedia
from tests.support.media_peer import MediaPeer

VP8_KEY = bytes.fromhex("1002009d012a4001f000")
VP8_DELTA = bytes.fromhex("3102009d012a")


class _Observer:
    def __init__(self) -> None:
        self.connected = asyncio.Event()

    def on_connected(self) -> None:
        self.connected.set()

    def on_interrupted(self) -> None:
        pass

    def on_failed(self, reason: str) -> None:
        pass

    def on_data_open(self, label: str) -> None:
        pass

    def on_data(self, label: str, data: bytes) -> None:
        pass


@dataclass
class Person:
    """One client with the server's half of it."""

    sid: str
    peer: MediaPeer
    transport: ServerTransport
    media: ParticipantMedia


@dataclass
class MediaRoom:
    """Opens a port, joins people, closes everything."""

    mux: UdpMux
    room: RoomMedia
    speakers: list[tuple[str, float, bool]]
    people: list[Person] = field(default_factory=list)

    @classmethod
    def open(cls) -> MediaRoom:
        speakers: list[tuple[str, float, bool]] = []
        return cls(UdpMux.open(["127.0.0.1"], 0), RoomMedia(speakers.extend), speakers)

    async def join(self, sid: str) -> Person:
        observer = _Observer()
        transport = ServerTransport(self.mux, new_certificate(), observer=observer)
        media = ParticipantMedia(transport, self.room, sid)
        peer = MediaPeer()
        transport.set_remote(
            fingerprints=[("sha-256", peer.fingerprint)],
            sctp_port=LOCAL_SCTP_PORT,
            max_message_size=65_535,
        )
        await peer.connect(
            ("127.0.0.1", self.mux.port), transport.ufrag, transport.pwd, transport.fingerprint
        )
        await asyncio.wait_for(observer.connected.wait(), 30)
        person = Person(sid, peer, transport, media)
        self.people.append(person)
        return person

    async def close(self) -> None:
        for person in self.people:
            person.media.close()
            await person.transport.close()
            await person.peer.close()
        self.room.close()
        self.mux.close()


@dataclass
class Vp8Source:
    """Makes the packets of one VP8 stream; `extensions` go on every packet."""

    ssrc: int
    payload_type: int = 96
    seq: int = 65_530
    ts_rtp: int = 0xFFFFFF00
    picture_id: int = 0x7FFE
    tl0: int = 250
    extensions: dict[int, bytes] = field(default_factory=dict)

    def frame(self, *, key: bool = False, packets: int = 3, size: int = 300) -> list[bytes]:
        made = []
        self.ts_rtp = self.ts_rtp + 3000 & 0xFFFFFFFF
        self.picture_id = self.picture_id + 1 & 0x7FFF
        self.tl0 = self.tl0 + 1 & 0xFF
        for i in range(packets):
            descriptor = bytes((0x90 if i == 0 else 0x80, 0xE0))
            descriptor += struct.pack("!HBB", 0x8000 | self.picture_id, self.tl0, 0x20)
            body = VP8_KEY if key else VP8_DELTA
            made.append(
                build_rtp(
                    RtpPacket(
                        self.payload_type,
                        self.seq,
                        self.ts_rtp,
                        self.ssrc,
                        descriptor + body + bytes([self.ssrc & 0xFF]) * (size - i),
                        marker=i == packets - 1,
                        extensions=self.extensions,
                    )
                )
            )
            self.seq = self.seq + 1 & 0xFFFF
        return made
