"""Who receives a data packet, and what the server writes into it before passing it on.

Sans-IO: `DataRouter.route` takes the bytes of one sender and returns bytes and receivers. The
rules are those that official SDKs rely on: the sender's identity is the server's word,
`sequence` stays as it came, a repeated sequence is dropped, nobody hears himself, and lack of
permission is silent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from livekit.protocol import models

from app.protocol.errors import ProtocolError

RELIABLE = "_reliable"
LOSSY = "_lossy"
DATA_TRACK = "_data_track"
NONCES_REMEMBERED = 100
MAX_PACKET_BYTES = 65_535
# What clients take in one message.
MAX_SERVER_PACKET_BYTES = 64_000

Passes = Callable[[models.DataPacket], bool]


@dataclass
class DataSender:
    """What routing knows about one participant; `last_sequence` is its only memory."""

    sid: str
    identity: str
    may_publish_data: bool = True
    hidden: bool = False
    is_agent: bool = False
    last_sequence: int = 0
    passes: Passes | None = None
    """What a hosted room's rules say of a packet."""


@dataclass(frozen=True)
class RoutedPacket:
    """One packet as it leaves the server, for every sid in `to`."""

    label: str
    data: bytes
    to: tuple[str, ...]


class DataRouter:
    """Forwarding of one room's data packets."""

    def __init__(self, take_answer: Callable[[str, models.DataPacket], bool] | None = None) -> None:
        """`take_answer` gets the sender's sid and what may answer a call of the server's own."""
        self._take_answer = take_answer
        self._nonces: deque[bytes] = deque(maxlen=NONCES_REMEMBERED)

    def route(
        self, sender: DataSender, label: str, data: bytes, people: Mapping[str, str]
    ) -> RoutedPacket | None:
        """Return what to send to whom; None when nobody gets it.

        `people` is sid by identity. Bytes that are no packet raise `ProtocolError`.
        """
        if not sender.may_publish_data:
            return None
        packet = _parse(data)
        if label == RELIABLE and packet.sequence:
            if packet.sequence <= sender.last_sequence:
                return None
            sender.last_sequence = packet.sequence
        if not self._is_allowed(sender, packet):
            return None
        _write_sender(sender, packet, label)
        receivers = _receivers(sender, packet, people)
        if not receivers:
            return None
        return RoutedPacket(label, packet.SerializeToString(), tuple(receivers))

    def route_from_server(
        self, user: models.UserPacket, label: str, people: Mapping[str, str]
    ) -> RoutedPacket | None:
        """Return a packet that no participant sent; None when nobody gets it."""
        if not self._is_first(user.nonce):
            return None
        packet = models.DataPacket(user=user)
        packet.kind = models.DataPacket.LOSSY if label == LOSSY else models.DataPacket.RELIABLE
        packet.destination_identities.extend(user.destination_identities)
        receivers = _receivers(DataSender("", ""), packet, people)
        data = packet.SerializeToString()
        if len(data) > MAX_SERVER_PACKET_BYTES:
            raise ProtocolError("data packet too large")
        return RoutedPacket(label, data, tuple(receivers)) if receivers else None

    def _is_allowed(self, sender: DataSender, packet: models.DataPacket) -> bool:
        if sender.passes is not None and not sender.passes(packet):
            return False
        match packet.WhichOneof("value"):
            case "metrics" | "speaker":
                return False
            case "transcription":
                # A track id of another form aborts the Rust SDK of every receiver.
                track_id = packet.transcription.track_id
                return sender.is_agent and track_id.startswith("TR_")
            case "user":
                return self._is_first(packet.user.nonce)
            case "rpc_ack" | "rpc_response" if self._take_answer is not None:
                return not self._take_answer(sender.sid, packet)
            case _:
                return True

    def _is_first(self, nonce: bytes) -> bool:
        if nonce in self._nonces:
            return False
        if nonce:
            self._nonces.append(nonce)
        return True


def _parse(data: bytes) -> models.DataPacket:
    if len(data) > MAX_PACKET_BYTES:
        raise ProtocolError("data packet too large")
    packet = models.DataPacket()
    try:
        packet.ParseFromString(data)
    except DecodeError as error:
        raise ProtocolError("data packet does not decode") from error
    return packet


def _write_sender(sender: DataSender, packet: models.DataPacket, label: str) -> None:
    packet.kind = models.DataPacket.LOSSY if label == LOSSY else models.DataPacket.RELIABLE
    packet.participant_sid = sender.sid
    if not _speaks_for_another(sender, packet):
        packet.participant_identity = "" if sender.hidden else sender.identity
    if packet.WhichOneof("value") == "user":
        user = packet.user
        user.participant_sid = sender.sid
        user.participant_identity = packet.participant_identity
        if packet.destination_identities:
            del user.destination_identities[:]
            user.destination_identities.extend(packet.destination_identities)
        else:
            packet.destination_identities.extend(user.destination_identities)


def _speaks_for_another(sender: DataSender, packet: models.DataPacket) -> bool:
    """An agent may chat in a person's name; the text is then marked as generated."""
    named = packet.participant_identity
    if not sender.is_agent or not named or named == sender.identity:
        return False
    match packet.WhichOneof("value"):
        case "chat_message":
            packet.chat_message.generated = True
            return True
        case "stream_header" if packet.stream_header.HasField("text_header"):
            packet.stream_header.text_header.generated = True
            return True
        case _:
            return False


def _receivers(
    sender: DataSender, packet: models.DataPacket, people: Mapping[str, str]
) -> Iterable[str]:
    identities = packet.destination_identities
    sids = packet.user.destination_sids if packet.WhichOneof("value") == "user" else ()
    if not identities and not sids:
        return [sid for sid in people.values() if sid != sender.sid]
    named = {people[identity] for identity in identities if identity in people}
    named |= set(sids) & set(people.values())
    return sorted(named - {sender.sid})
