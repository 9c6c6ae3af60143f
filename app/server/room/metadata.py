"""Which changes of one's own name, metadata and attributes are accepted. Sans-IO."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from livekit.protocol import models, rtc

from app.protocol.token import Claims

MAX_NAME_BYTES = 256
MAX_METADATA_BYTES = 512 * 1024
MAX_ATTRIBUTES_BYTES = 64 * 1024

# Written by the server alone: it says who is host.
RESERVED_ATTRIBUTES = frozenset({"lanai.role"})


def without_reserved(attributes: Mapping[str, str]) -> dict[str, str]:
    """Return the attributes that a client may bring along when it joins."""
    return {key: value for key, value in attributes.items() if key not in RESERVED_ATTRIBUTES}


def brought_along(attributes: Mapping[str, str]) -> dict[str, str]:
    """Return what a join request adds to its token's attributes; it deletes none of them."""
    return {key: value for key, value in without_reserved(attributes).items() if value}


def is_within_limits(claims: Claims, request: rtc.JoinRequest) -> bool:
    """Whether what somebody brings along is no larger than what an update may set."""
    attributes = {**claims.attributes, **brought_along(request.participant_attributes)}
    names = (claims.name, claims.identity, claims.video.room)
    return (
        all(len(name.encode()) <= MAX_NAME_BYTES for name in names)
        and max(len(request.metadata.encode()), len(claims.metadata.encode())) <= MAX_METADATA_BYTES
        and size_of(attributes) <= MAX_ATTRIBUTES_BYTES
    )


def size_of(attributes: Mapping[str, str]) -> int:
    """Count what attributes weigh; empty ones are deletions."""
    return sum(len(key.encode()) + len(text.encode()) for key, text in attributes.items() if text)


class MetadataRefusal(Exception):  # noqa: N818 - an answer, not a fault
    """Why an update is refused; `reason` is of `RequestResponse.Reason`."""

    def __init__(self, reason: int, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def check_update(request: rtc.UpdateParticipantMetadata, current: models.ParticipantInfo) -> None:
    """Raise `MetadataRefusal` unless the update may be applied to `current`."""
    reasons = rtc.RequestResponse
    if not current.permission.can_update_metadata:
        raise MetadataRefusal(
            reasons.NOT_ALLOWED, "does not have permission to update own metadata"
        )
    check_values(request, current)


def check_values(request: rtc.UpdateParticipantMetadata, current: models.ParticipantInfo) -> None:
    """Raise `MetadataRefusal` for what nobody may write, whatever the rights are."""
    reasons = rtc.RequestResponse
    if RESERVED_ATTRIBUTES & set(request.attributes):
        raise MetadataRefusal(reasons.NOT_ALLOWED, "attribute is written by the server")
    if len(request.name.encode()) > MAX_NAME_BYTES:
        raise MetadataRefusal(reasons.LIMIT_EXCEEDED, "exceeds name length limit")
    if len(request.metadata.encode()) > MAX_METADATA_BYTES:
        raise MetadataRefusal(reasons.LIMIT_EXCEEDED, "exceeds metadata size limit")
    merged = {**current.attributes, **request.attributes}
    if size_of(merged) > MAX_ATTRIBUTES_BYTES:
        raise MetadataRefusal(reasons.LIMIT_EXCEEDED, "exceeds attributes size limit")


def apply_update(
    request: rtc.UpdateParticipantMetadata, info: models.ParticipantInfo
) -> Iterator[str]:
    """Write an accepted update into `info`, yielding after each part that changed.

    Clients expect an update of their own for name, metadata and attributes, in this order.
    An empty name or metadata means "leave it"; an empty attribute is deleted. Attributes
    count as changed even when they are the same.
    """
    if request.name and request.name != info.name:
        info.name = request.name
        yield "name"
    if request.metadata and request.metadata != info.metadata:
        info.metadata = request.metadata
        yield "metadata"
    for key, value in request.attributes.items():
        if value:
            info.attributes[key] = value
        else:
            info.attributes.pop(key, None)
    if request.attributes:
        yield "attributes"
