"""Two bare associations, or ours and aiortc's, in time that the test owns."""

from __future__ import annotations

import random
from collections.abc import Callable

from app.protocol.errors import ProtocolError
from app.rtc.sctp import wire
from app.rtc.sctp.association import Association, Event, State
from app.rtc.sctp.inbound import Message
from tests.support.fuzz import inputs

BINARY = 53

Fate = Callable[[str, bytes], int]


def new_association(seed: int, *, max_message_bytes: int = 65_535) -> Association:
    """An association whose chance is a seed."""
    chance = random.Random(seed)
    return Association(
        5000,
        max_message_bytes=max_message_bytes,
        secret=chance.randbytes(32),
        random_u32=lambda: chance.getrandbits(32),
    )


class Ends:
    """Two ends a and b; `fate(sender, packet)` says how many copies arrive (default one)."""

    def __init__(self, seed: int = 1, fate: Fate = lambda _sender, _packet: 1) -> None:
        self.a, self.b = new_association(seed), new_association(seed + 1)
        self.now_s = 100.0
        self.packets: list[tuple[str, bytes]] = []
        self.messages: dict[str, list[Message]] = {"a": [], "b": []}
        self.events: dict[str, list[Event]] = {"a": [], "b": []}
        self.fate = fate

    def start(self) -> None:
        """Begin from both ends, and let it come up."""
        self.a.start(5000, self.now_s)
        self.b.start(5000, self.now_s)
        self.settle()

    def settle(self) -> None:
        """Exchange packets until both are silent; time stands still."""
        while self._exchange():
            pass

    def pass_time(self, seconds: float) -> None:
        """Let timers go off for so long."""
        until_s = self.now_s + seconds
        self.settle()
        while True:
            ends = (self.a, self.b)
            deadlines = [end.deadline_s for end in ends if end.deadline_s is not None]
            if not deadlines or min(deadlines) > until_s:
                break
            self.now_s = max(self.now_s, min(deadlines))
            for end in ends:
                end.handle_deadline(self.now_s)
            self.settle()
        self.now_s = until_s

    def _exchange(self) -> bool:
        something = False
        for name, end, other in (("a", self.a, self.b), ("b", self.b, self.a)):
            packets, has_more = end.take_packets(self.now_s)
            something = something or bool(packets) or has_more
            for packet in packets:
                self.packets.append((name, packet))
                for _ in range(self.fate(name, packet)):
                    other.handle_packet(packet, self.now_s)
        for name, end in (("a", self.a), ("b", self.b)):
            self.messages[name] += end.take_messages()
            self.events[name] += end.take_events()
        return something


def repacked(packet: bytes) -> bytes:
    """The packet with a checksum that is right."""
    return packet[:8] + wire.packet_checksum(packet).to_bytes(4, "little") + packet[12:]


def attack(seed: int, count: int) -> None:
    """Hand seeded inputs to an association; only `ProtocolError` may come of it."""
    recorded = Ends(seed)
    recorded.start()
    for number in range(6):
        recorded.a.send(number % 3, BINARY, bytes(2_500), ordered=number < 3, max_resends=number)
    recorded.a.reset_stream(1)
    recorded.settle()
    examples = [packet for name, packet in recorded.packets if name == "a"]
    examples += [
        wire.HEADER.pack(5000, 5000, 0) + bytes(4) + chunk
        for chunk in (
            wire.forward_tsn_chunk(5, {1: 2}),
            wire.chunk(wire.HEARTBEAT, 0, bytes(8)),
            wire.chunk(wire.ERROR, 0, bytes(8)),
            wire.reset_request_chunk(1, 2, 3, (4, 5)),
            wire.reset_response_chunk(1, 6),
            wire.sack_chunk(9, 100, [(2, 3), (5, 9)], [4]),
        )
    ]
    ends = Ends(seed)
    ends.start()
    for number, data in enumerate(inputs(examples, seed, count)):
        if len(data) >= 12:
            # The tag and the checksum are right: whoever has the key can do that.
            data = repacked(data[:4] + ends.b.local_tag.to_bytes(4, "big") + data[8:])
        try:
            ends.b.handle_packet(data, ends.now_s)
        except ProtocolError:
            pass
        except Exception as error:
            raise AssertionError(f"seed {seed}, input {number}: {data.hex()}") from error
        ends.now_s += 0.01
        ends.b.handle_deadline(ends.now_s)
        ends.b.take_packets(ends.now_s)
        ends.b.take_messages()
        ends.b.take_events()
        if ends.b.state is not State.ESTABLISHED or ends.b.outbound is None:
            ends = Ends(seed + number)
            ends.start()
        elif number % 50 == 0:
            ends.b.send(number % 4, BINARY, bytes(number % 3_000 + 1), max_resends=0)
