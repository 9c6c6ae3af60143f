"""What a new description of a participant changes about the old one."""

from __future__ import annotations

from dataclasses import dataclass, field

from livekit.protocol import models as lk


@dataclass(frozen=True, slots=True)
class Changes:
    """`name` and `metadata` hold the old value where it changed; deleted attributes are ""."""

    name: str | None = None
    metadata: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    permission: bool = False
    became_active: bool = False


def describe_changes(old: lk.ParticipantInfo, new: lk.ParticipantInfo) -> Changes:
    """Compare two descriptions of the same participant."""
    changed = {
        key: value for key, value in new.attributes.items() if old.attributes.get(key) != value
    }
    deleted = {key: "" for key in old.attributes if key not in new.attributes}
    active = lk.ParticipantInfo.ACTIVE
    return Changes(
        name=old.name if old.name != new.name else None,
        metadata=old.metadata if old.metadata != new.metadata else None,
        attributes=changed | deleted,
        permission=new.HasField("permission") and old.permission != new.permission,
        became_active=new.state == active and old.state != active,
    )
