"""Which form of a stream everybody who gets it can read.

The server only relays, so the sender decides by what each recipient announced when it joined:
`client_protocol` 2 reads a payload inside the header, and compression has a capability of its
own. A recipient that is not there is none that could read anything new.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from livekit.protocol.models import ClientInfo, ParticipantInfo

RPC_STREAMS_PROTOCOL = 1
INLINE_PROTOCOL = 2


@dataclass(frozen=True, slots=True)
class StreamForm:
    """What may be used towards a set of recipients; `PLAIN` is version 1."""

    inline: bool = False
    deflate: bool = False


PLAIN = StreamForm()


def form_for(people: Mapping[str, ParticipantInfo], destinations: Collection[str]) -> StreamForm:
    """Return the richest form that all of `destinations` read; none named means everybody.

    `people` are the others in the room by identity. An empty room reads everything.
    """
    if not destinations:
        return _common(people.values())
    if any(identity not in people for identity in destinations):
        return PLAIN
    return _common(people[identity] for identity in destinations)


def _common(recipients: Iterable[ParticipantInfo]) -> StreamForm:
    inline, deflate = True, True
    for info in recipients:
        inline = inline and info.client_protocol >= INLINE_PROTOCOL
        deflate = deflate and ClientInfo.CAP_COMPRESSION_DEFLATE_RAW in info.capabilities
    return StreamForm(inline=inline, deflate=inline and deflate)
