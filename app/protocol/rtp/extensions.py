"""RTP header extensions, one- and two-byte form (RFC 8285). Hot path.

The URIs are those that LiveKit negotiates; their ids differ from session to session.
"""

from __future__ import annotations

from collections.abc import Mapping

from app.protocol.errors import ProtocolError

MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
RTP_STREAM_ID = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
REPAIRED_RTP_STREAM_ID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
ABS_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
TRANSPORT_CC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
VIDEO_ORIENTATION = "urn:3gpp:video-orientation"
DEPENDENCY_DESCRIPTOR = (
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
)

_ONE_BYTE = 0xBEDE
_TWO_BYTE = 0x1000

Buffer = bytes | bytearray | memoryview


def read_extensions(data: Buffer, at: int) -> list[tuple[int, int, int]]:
    """Return (id, offset, size) of each element of the block that starts at `at`.

    The caller has checked that the block as a whole lies in the packet. ProtocolError when
    an element does not fit into the block.
    """
    profile = data[at] << 8 | data[at + 1]
    end = at + 4 + 4 * (data[at + 2] << 8 | data[at + 3])
    at += 4
    found: list[tuple[int, int, int]] = []
    if profile == _ONE_BYTE:
        while at < end:
            head = data[at]
            at += 1
            if head == 0:
                continue
            number = head >> 4
            if number == 15:
                break
            size = (head & 15) + 1
            if at + size > end:
                raise ProtocolError("RTP extension element cut off")
            found.append((number, at, size))
            at += size
    elif profile & 0xFFF0 == _TWO_BYTE:
        while at < end:
            number = data[at]
            at += 1
            if number == 0:
                continue
            if at >= end:
                raise ProtocolError("RTP extension element cut off")
            size = data[at]
            at += 1
            if at + size > end:
                raise ProtocolError("RTP extension element cut off")
            found.append((number, at, size))
            at += size
    return found


def build_extensions(elements: Mapping[int, bytes]) -> bytes:
    """Return the block for these elements, two-byte form only where it is needed."""
    if all(0 < n < 15 and 0 < len(value) <= 16 for n, value in elements.items()):
        profile = _ONE_BYTE
        body = b"".join(bytes((n << 4 | len(v) - 1,)) + v for n, v in elements.items())
    else:
        profile = _TWO_BYTE
        body = b"".join(bytes((n, len(v))) + v for n, v in elements.items())
    body += bytes(-len(body) % 4)
    return profile.to_bytes(2, "big") + (len(body) // 4).to_bytes(2, "big") + body
