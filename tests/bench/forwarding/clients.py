"""Bare participants for load: signalling by hand, and sockets that only count.

Run as `python -m tests.bench.forwarding.clients` with the plan as one JSON line on stdin; says
`{"ready": …}` once everybody is sent to, and `{"result": …}` at the end. Subscribers do not
decrypt: RTP headers are in the clear, and their sequence numbers tell what was lost.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp
from livekit.protocol import models, rtc

from app.protocol.rtp.header import RtpPacket, build_rtp
from app.protocol.sdp import (
    IceCandidate,
    MediaSection,
    RtpCodec,
    SessionDescription,
    parse_candidate,
    parse_sdp,
)
from app.protocol.token import VideoGrant, issue_token
from app.rtc.datagrams import SLOT_BYTES, SLOTS, ReceiveSlots
from tests.support.media_peer import MediaPeer

FEEDBACK = ["nack", "nack pli", "ccm fir"]


@dataclass
class Plan:
    """What to load the server with."""

    url: str
    api_key: str
    api_secret: str
    publishers: int
    subscribers: int
    seconds: float
    frames_per_s: int
    packets_per_frame: int
    packet_bytes: int
    burst: int
    """Packets that leave together; the next ones follow 5 ms later, as libwebrtc's pacer does."""


class Participant:
    """One client in the room; `section` is what it offers besides data channels."""

    def __init__(self, plan: Plan, identity: str) -> None:
        self.plan = plan
        self.identity = identity
        self.peer = MediaPeer()
        self.peer.channels.create("_reliable")
        self.sections: list[MediaSection] = []
        self.tracks: list[rtc.AddTrackRequest] = []
        self.answered = asyncio.Event()
        self.answer: SessionDescription | None = None
        self.connected = False
        self._socket: aiohttp.ClientWebSocketResponse | None = None

    def _video(self, mid: int, direction: str) -> MediaSection:
        return MediaSection(
            kind="video",
            mid=str(mid),
            direction=direction,
            codecs=[
                RtpCodec(96, "VP8", 90_000, feedback=list(FEEDBACK)),
                RtpCodec(97, "rtx", 90_000, fmtp="apt=96"),
            ],
            formats=["96", "97"],
            rtcp_mux=True,
            rtcp_rsize=True,
        )

    def offer(self) -> str:
        application = MediaSection(
            kind="application",
            mid="data",
            protocol="UDP/DTLS/SCTP",
            formats=["webrtc-datachannel"],
            sctp_port=5000,
            max_message_size=65_535,
        )
        media = [application, *self.sections]
        for section in media:
            section.ice_ufrag, section.ice_pwd = "load", "load-load-load-load-load"
            section.fingerprints = [("sha-256", self.peer.fingerprint)]
            section.setup = "actpass"
        return SessionDescription(bundle=[s.mid for s in media], media=media).to_text()

    async def join(self, session: aiohttp.ClientSession) -> None:
        plan = self.plan
        token = issue_token(
            api_key=plan.api_key,
            api_secret=plan.api_secret,
            identity=self.identity,
            now_s=time.time(),
            grant=VideoGrant(room_join=True, room="load"),
        )
        request = rtc.JoinRequest(
            client_info=models.ClientInfo(protocol=16),
            connection_settings=rtc.ConnectionSettings(auto_subscribe=True),
            add_track_requests=self.tracks,
            publisher_offer=rtc.SessionDescription(type="offer", sdp=self.offer(), id=1),
        )
        wrapped = rtc.WrappedJoinRequest(join_request=request.SerializeToString())
        query = base64.urlsafe_b64encode(wrapped.SerializeToString()).decode()
        self._socket = await session.ws_connect(
            f"{plan.url}/rtc/v1",
            params={"join_request": query},
            headers={"Authorization": f"Bearer {token}"},
        )

    async def listen(self) -> None:
        """Handle signalling until the socket closes."""
        assert self._socket is not None
        async for message in self._socket:
            response = rtc.SignalResponse.FromString(message.data)
            if response.HasField("answer"):
                self.answer = parse_sdp(response.answer.sdp)
                self.answered.set()
            elif response.HasField("media_sections_requirement"):
                needed = response.media_sections_requirement.num_videos
                for _ in range(needed):
                    self.sections.append(self._video(len(self.sections), "recvonly"))
                await self._send_offer()

    async def _send_offer(self) -> None:
        assert self._socket is not None
        offer = rtc.SessionDescription(type="offer", sdp=self.offer(), id=2)
        await self._socket.send_bytes(rtc.SignalRequest(offer=offer).SerializeToString())

    async def ping(self) -> None:
        assert self._socket is not None
        await self._socket.send_bytes(
            rtc.SignalRequest(
                ping_req=rtc.Ping(timestamp=int(time.time() * 1000))
            ).SerializeToString()
        )

    async def connect(self) -> None:
        await asyncio.wait_for(self.answered.wait(), 30)
        assert self.answer is not None
        section = self.answer.media[0]
        candidate: IceCandidate = parse_candidate(section.candidates[0])
        self.ufrag, self.pwd = section.ice_ufrag, section.ice_pwd
        await self.peer.connect(
            (candidate.address, candidate.port),
            section.ice_ufrag,
            section.ice_pwd,
            section.fingerprints[0][1],
        )
        self.peer.channels.start(5000, 65_535)
        await self.peer.until(lambda: bool(self.peer.opened))
        self.connected = True


class Publisher(Participant):
    """Sends one VP8 track of constant rate."""

    def __init__(self, plan: Plan, number: int) -> None:
        super().__init__(plan, f"publisher-{number}")
        self.ssrc = 1000 + number
        cid = f"camera-{number}"
        section = self._video(0, "sendonly")
        section.msid = ("-", cid)
        section.ssrcs = {self.ssrc: {"cname": "c"}, self.ssrc + 500: {"cname": "c"}}
        section.ssrc_groups = [("FID", [self.ssrc, self.ssrc + 500])]
        self.sections = [section]
        self.tracks = [
            rtc.AddTrackRequest(
                cid=cid,
                type=models.TrackType.VIDEO,
                source=models.TrackSource.CAMERA,
                width=1280,
                height=720,
            )
        ]
        self.sent = 0
        self._frame = 0

    def frame(self, *, key: bool) -> list[bytes]:
        plan = self.plan
        self._frame += 1
        descriptor = b"\x80\x80" + (0x8000 | self._frame & 0x7FFF).to_bytes(2, "big")
        filler = bytes(plan.packet_bytes - 17)
        packets = []
        for i in range(plan.packets_per_frame):
            first = b"\x90" if i == 0 else b"\x80"
            body = (b"\x10" if key else b"\x11") if i == 0 else b"\x00"
            packets.append(
                build_rtp(
                    RtpPacket(
                        96,
                        self.sent + i & 0xFFFF,
                        self._frame * 90_000 // plan.frames_per_s,
                        self.ssrc,
                        first + descriptor[1:] + body + filler,
                        marker=i == plan.packets_per_frame - 1,
                    )
                )
            )
        self.sent += plan.packets_per_frame
        return packets

    async def publish(self, running: Callable[[], bool]) -> None:
        plan = self.plan
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        while running():
            packets = self.frame(key=self._frame % (2 * plan.frames_per_s) == 0)
            for at in range(0, len(packets), plan.burst):
                if at:
                    await asyncio.sleep(0.005)
                for packet in packets[at : at + plan.burst]:
                    self.peer.send_rtp(packet)
            due_s = started_s + self._frame / plan.frames_per_s
            await asyncio.sleep(max(0.0, due_s - loop.time()))


@dataclass
class _Counter:
    received: int = 0
    lowest: int = -1
    highest: int = -1


@dataclass
class Tally:
    """What the counting sockets saw, per subscriber and SSRC."""

    counters: dict[tuple[int, int], _Counter] = field(default_factory=dict)
    packets: int = 0

    def lost(self) -> int:
        return sum(c.highest - c.lowest + 1 - c.received for c in self.counters.values())


class Subscriber(Participant):
    """Receives everything and counts it."""

    def __init__(self, plan: Plan, number: int, slots: ReceiveSlots, tally: Tally) -> None:
        super().__init__(plan, f"subscriber-{number}")
        self._number = number
        self._slots = slots
        self._tally = tally
        self.sections = [self._video(i, "recvonly") for i in range(plan.publishers)]

    def count_only(self) -> None:
        """From now on look at headers, nothing else."""
        loop = asyncio.get_running_loop()
        descriptor = self.peer.sock.fileno()
        loop.remove_reader(descriptor)
        loop.add_reader(descriptor, self._count, descriptor)

    def _count(self, descriptor: int) -> None:
        slots, tally, data = self._slots, self._tally, self._slots.area.data
        while True:
            count = slots.receive(self.peer.sock, descriptor, 8)
            for i in range(count):
                at = i * SLOT_BYTES
                if data[at] & 0xC0 != 0x80 or 192 <= data[at + 1] < 224:
                    continue
                ssrc = int.from_bytes(data[at + 8 : at + 12], "big")
                seq = data[at + 2] << 8 | data[at + 3]
                counter = tally.counters.get((self._number, ssrc))
                if counter is None:
                    counter = tally.counters[self._number, ssrc] = _Counter()
                    counter.lowest = counter.highest = seq
                counter.received += 1
                tally.packets += 1
                ahead = (seq - counter.highest + 0x8000 & 0xFFFF) - 0x8000
                if ahead > 0:
                    counter.highest += ahead
            if count < SLOTS:
                return


async def _run(plan: Plan) -> None:
    tally, slots = Tally(), ReceiveSlots()
    publishers = [Publisher(plan, i) for i in range(plan.publishers)]
    subscribers = [Subscriber(plan, i, slots, tally) for i in range(plan.subscribers)]
    everybody: list[Participant] = [*publishers, *subscribers]
    state = {"running": True}
    tasks: list[asyncio.Task[None]] = []
    async with aiohttp.ClientSession() as session:
        for participant in everybody:
            await participant.join(session)
            tasks.append(asyncio.ensure_future(participant.listen()))
            await participant.connect()
        tasks.extend(
            asyncio.ensure_future(publisher.publish(lambda: state["running"]))
            for publisher in publishers
        )
        for subscriber in subscribers:
            subscriber.count_only()
        wanted = plan.publishers * plan.subscribers

        async def keep_alive() -> None:
            while True:
                for participant in everybody:
                    participant.peer.check(participant.ufrag, participant.pwd)
                    await participant.ping()
                await asyncio.sleep(5.0)

        tasks.append(asyncio.ensure_future(keep_alive()))
        async with asyncio.timeout(60):
            while len(tally.counters) < wanted:  # noqa: ASYNC110 - a bench may poll
                await asyncio.sleep(0.1)
        await asyncio.sleep(2.0)
        before, sent_before = tally.packets, sum(p.sent for p in publishers)
        print(json.dumps({"ready": True}), flush=True)
        await asyncio.sleep(plan.seconds)
        sent = sum(p.sent for p in publishers) - sent_before
        print(
            json.dumps(
                {
                    "result": {
                        "forwarded": tally.packets - before,
                        "published": sent,
                        "lost": tally.lost(),
                        "streams": len(tally.counters),
                    }
                }
            ),
            flush=True,
        )
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        state["running"] = False
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    asyncio.run(_run(Plan(**json.loads(sys.stdin.readline()))))


if __name__ == "__main__":
    main()
