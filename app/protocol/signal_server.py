"""The server's side of signalling as data: what a client asks when it joins, and each frame.

A v1 client puts everything into one query parameter: base64url of a `WrappedJoinRequest`, inside
it a `JoinRequest`, perhaps gzipped. Frames are protobuf in binary messages; a client that
sends text speaks protobuf-JSON and gets JSON back. Whatever does not decode is a
`ProtocolError`, never anything else.
"""

from __future__ import annotations

import base64
import binascii
import zlib

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from livekit.protocol import models, rtc

from app.protocol import compat
from app.protocol.errors import ProtocolError

MAX_FRAME_BYTES = 2 * 1024 * 1024
MAX_JOIN_BYTES = 1024 * 1024
# JSON is read in Python, two hundred times more slowly than protobuf.
MAX_JSON_CHARS = 256 * 1024
PING_INTERVAL_S = 5
PING_TIMEOUT_S = 15

# Codecs that the server can forward; the first of a kind is what clients prefer.
PUBLISH_MIMES = ("video/VP8", "video/H264", "audio/opus")
ROOM_MIMES = ("audio/opus", "video/VP8", "video/H264", "video/rtx")

_GZIP_WINDOW = 16 + zlib.MAX_WBITS


def decode_join_request(parameter: str) -> rtc.JoinRequest:
    """Read the `join_request` query parameter."""
    if not parameter:
        raise ProtocolError("join_request is required")
    padded = parameter + "=" * (-len(parameter) % 4)
    try:
        wrapped_bytes = base64.b64decode(padded, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProtocolError("cannot base64 decode wrapped join request") from error
    wrapped = rtc.WrappedJoinRequest()
    request = rtc.JoinRequest()
    try:
        wrapped.ParseFromString(wrapped_bytes)
    except DecodeError as error:
        raise ProtocolError("cannot unmarshal wrapped join request") from error
    body = wrapped.join_request
    if wrapped.compression == rtc.WrappedJoinRequest.GZIP:
        body = _inflate(body)
    if len(body) > MAX_JOIN_BYTES:
        raise ProtocolError("join request too large")
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        raise ProtocolError("cannot unmarshal join request") from error
    return request


def _inflate(body: bytes) -> bytes:
    inflater = zlib.decompressobj(_GZIP_WINDOW)
    try:
        inflated = inflater.decompress(body, MAX_JOIN_BYTES + 1)
    except zlib.error as error:
        raise ProtocolError("cannot read decompressed join request") from error
    if not inflater.eof and len(inflated) <= MAX_JOIN_BYTES:
        raise ProtocolError("cannot read decompressed join request")
    return inflated


def decode_request(frame: bytes | str) -> rtc.SignalRequest:
    """Read one frame of a client; an unknown variant is an empty request."""
    request = rtc.SignalRequest()
    if isinstance(frame, str) and len(frame) > MAX_JSON_CHARS:
        raise ProtocolError("signal frame too large")
    try:
        if isinstance(frame, str):
            json_format.Parse(frame, request, ignore_unknown_fields=True)
        else:
            request.ParseFromString(frame)
    except (DecodeError, json_format.ParseError, ValueError, RecursionError) as error:
        raise ProtocolError("signal frame does not decode") from error
    return request


def encode_response(response: rtc.SignalResponse, *, as_json: bool) -> bytes | str:
    """Write one frame in the form that the client speaks."""
    if as_json:
        return json_format.MessageToJson(response, indent=None)
    return response.SerializeToString()


def server_info(node_id: str) -> models.ServerInfo:
    """Return what we say about ourselves."""
    return models.ServerInfo(
        version=compat.SERVER_COMPAT_VERSION,
        protocol=compat.SERVER_PROTOCOL,
        node_id=node_id,
        debug_info=compat.KEEPS_ROLES,
    )


def join_response(
    *,
    room: models.Room,
    participant: models.ParticipantInfo,
    others: list[models.ParticipantInfo],
    node_id: str,
    sif_trailer: bytes,
    can_publish: bool,
) -> rtc.SignalResponse:
    """Return the first message of a session; clients abort without most of its fields."""
    return rtc.SignalResponse(
        join=rtc.JoinResponse(
            room=room,
            participant=participant,
            other_participants=others,
            server_version=compat.SERVER_COMPAT_VERSION,
            server_info=server_info(node_id),
            ping_interval=PING_INTERVAL_S,
            ping_timeout=PING_TIMEOUT_S,
            subscriber_primary=False,
            fast_publish=can_publish,
            sif_trailer=sif_trailer,
            enabled_publish_codecs=[models.Codec(mime=mime) for mime in PUBLISH_MIMES],
        )
    )


def leave_response(
    action: rtc.LeaveRequest.Action, reason: models.DisconnectReason
) -> rtc.SignalResponse:
    """Return the last message of a session."""
    return rtc.SignalResponse(leave=rtc.LeaveRequest(action=action, reason=reason))
